"""What sources share that read item n of one file beside item n of another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from luban.core.contracts import Record
from luban.core.errors import DataError, RecipeError
from luban.data.files.split_names import SPLITS, check_splits
from luban.data.media.media_files import Array

_ABSENT = object()
_LIMIT = 1 << 30  #: bytes of one item


def by_split(path: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return split to field to file; a table from field to file is all ``train``.

    Raises:
        RecipeError: for a split that does not exist.
    """
    if not any(isinstance(value, Mapping) for value in path.values()):
        return {"train": dict(path)}
    check_splits(path)
    for split, sides in path.items():
        if not isinstance(sides, Mapping):
            raise RecipeError(
                f"the split {split!r} has no table of files.",
                where=f"data.source.path.{split}",
                expected="a table from field to file",
                got=sides,
            )
    return {split: dict(path[split]) for split in SPLITS if split in path}


def beside(columns: Mapping[str, Iterator[Any]], where: str) -> Iterator[Record]:
    """Yield records of item n of each column.

    Raises:
        DataError: if they do not have the same number of items.
    """
    for number, row in enumerate(zip_longest(*columns.values(), fillvalue=_ABSENT), 1):
        items = dict(zip(columns, row, strict=True))
        if short := [name for name, item in items.items() if item is _ABSENT]:
            raise DataError(
                "these files do not have the same number of items.",
                where=where,
                expected=f"as many of {', '.join(short)} as of the others",
                got=f"{number - 1:,}",
            )
        yield {**items, "_where": f"{where}:{number}"}


def plain(item: Array) -> Any:
    """Return an item of an array as a record has it: numbers and short lists as Python's own."""
    if item.dtype.kind in "US":
        return str(item) if item.ndim == 0 else item.tolist()
    if item.ndim < 2:
        return item.reshape(()).item() if item.size == 1 else item.tolist()
    return item


def rows_of(file: Any, dtype: np.dtype[Any], shape: tuple[int, ...], where: Path) -> Iterator[Any]:
    """Yield the items of an array that lies in an open file from here on, one after the other.

    Raises:
        DataError: if the file ends early.
    """
    size = math.prod(shape[1:]) * dtype.itemsize
    for number in range(shape[0]):
        data = file.read(size) if size <= _LIMIT else b""  # no item is so large: a damaged head
        if len(data) < size:
            raise DataError(
                "this file ends early.", where=f"{where}:{number + 1}", expected=f"{shape[0]} items"
            )
        item = np.frombuffer(data, dtype).reshape(shape[1:])
        yield plain(item.astype(dtype.newbyteorder("="), copy=False))
