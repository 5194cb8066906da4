"""Parallel text: line n of one file belongs to line n of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

from pydantic import Field

from luban.core.contracts import Record, Source
from luban.core.errors import DataError
from luban.data.files.reading import expand, open_text, text_lines
from luban.data.files.split_names import SPLITS, check_splits
from luban.data.sources._files import Patterns

Sides: TypeAlias = dict[str, Patterns]


class Parallel(Source):
    """Files that belong together line by line, plain or gzip, streamed side by side.

    A line that is blank in all of them is skipped.
    """

    path: Sides | dict[str, Sides] = Field(
        union_mode="left_to_right",
        description=(
            "A table from field to file, `{source: a.en, target: a.de}`; or from split to such "
            "tables. Several files (a list, a glob) are paired in their order."
        ),
    )
    encoding: str = Field(default="utf-8", description="A codec of Python's.")

    def splits(self) -> tuple[str, ...]:
        """Return the splits that ``path`` names; one table of files is all ``train``."""
        tables = self._tables()
        check_splits(tables)
        return tuple(split for split in SPLITS if split in tables)

    def read(self, split: str) -> Iterator[Record]:
        """Yield the pairs of a split.

        Raises:
            DataError: if the files do not have the same number of lines.
        """
        sides = self._sides(split)
        for paths in zip(*sides.values(), strict=True):
            yield from self._pairs(dict(zip(sides, paths, strict=True)))

    def files(self) -> tuple[Path, ...]:
        """Return the files of all splits."""
        return tuple(p for s in self.splits() for paths in self._sides(s).values() for p in paths)

    def _tables(self) -> Mapping[str, Sides]:
        if any(isinstance(value, dict) for value in self.path.values()):
            return {name: side for name, side in self.path.items() if isinstance(side, dict)}
        return {"train": {name: p for name, p in self.path.items() if not isinstance(p, dict)}}

    def _sides(self, split: str) -> dict[str, tuple[Path, ...]]:
        sides = {name: expand(p, (".txt",)) for name, p in self._tables()[split].items()}
        if len({len(paths) for paths in sides.values()}) > 1:
            raise DataError(
                "the sides do not have the same number of files.",
                where=f"data.source.path ({split})",
                got=", ".join(f"{name}: {len(paths)}" for name, paths in sides.items()),
            )
        return sides

    def _pairs(self, paths: dict[str, Path]) -> Iterator[Record]:
        first = next(iter(paths.values()))
        lines = 0
        for number, row in enumerate(zip_longest(*map(self._lines, paths.values())), 1):
            if None in row:
                raise self._unequal(paths)
            lines = number
            if any(text.strip() for text in row):
                yield {**dict(zip(paths, row, strict=True)), "_where": f"{first}:{lines}"}

    def _lines(self, path: Path) -> Iterator[str]:
        # Only LF and CRLF end a line: a stray CR would shift one side against the other.
        with open_text(path, self.encoding, newline="\n") as file:
            yield from text_lines(file)

    def _unequal(self, paths: dict[str, Path]) -> DataError:
        counts = {path: sum(1 for _ in self._lines(path)) for path in paths.values()}
        return DataError(
            "these files do not have the same number of lines.",
            where=", ".join(map(str, counts)),
            expected="line n of one to belong to line n of the other",
            got=", ".join(f"{path.name}: {count:,} lines" for path, count in counts.items()),
            fix="align them again; a line may be lost or broken in two.",
        )
