"""IDX: the files of MNIST and those made like it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from luban.core.contracts import Record, Source
from luban.core.errors import DataError
from luban.data.files.reading import missing, open_bytes
from luban.data.files.records import shape
from luban.data.sources._files import Meanings
from luban.data.sources._sides import beside, by_split, rows_of

_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


class Idx(Source):
    """IDX files, plain or gzip, streamed side by side: ``image`` (H, W), ``label`` a number.

    A file begins with two zero bytes, a type, the number of dimensions, and these, big-endian.
    """

    path: dict[str, str | dict[str, str]] = Field(
        description=(
            "A table from field to file, `{image: train-images-idx3-ubyte.gz, label: …}`; or from "
            "split to such tables."
        ),
    )
    values: Meanings = Field(
        default_factory=dict,
        description='What the values of a field mean: `{label: {"0": shirt, "1": dress}}`.',
    )

    def splits(self) -> tuple[str, ...]:
        """Return the splits that ``path`` names; one table of files is all ``train``."""
        return tuple(by_split(self.path))

    def read(self, split: str) -> Iterator[Record]:
        """Yield the items of a split.

        Raises:
            DataError: if a file is damaged, or the files differ in their number of items.
        """
        sides = {name: Path(file).expanduser() for name, file in by_split(self.path)[split].items()}
        columns = {name: _items(file) for name, file in sides.items()}
        for record in beside(columns, str(next(iter(sides.values())))):
            yield shape(record, {}, values=self.values) if self.values else record

    def files(self) -> tuple[Path, ...]:
        """Return the files of all splits."""
        found = [
            Path(f).expanduser() for side in by_split(self.path).values() for f in side.values()
        ]
        for file in found:
            if not file.is_file():
                raise missing(file)
        return tuple(found)


def _items(path: Path) -> Iterator[Any]:
    with open_bytes(path) as file:
        head = file.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or not head[3]:
            raise DataError(
                "this is no IDX file.",
                where=path,
                expected="two zero bytes, then a type of "
                + ", ".join(f"0x{code:02x}" for code in _TYPES),
                got=head,
            )
        sizes = file.read(4 * head[3])
        if len(sizes) < 4 * head[3]:
            raise DataError("this file ends early.", where=path)
        shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
        yield from rows_of(file, np.dtype(_TYPES[head[2]]), shape, path)
        if file.read(1):
            raise DataError("this file goes on after its last item.", where=path, got=shape)
