"""What sources that read files share: paths, folders, globs and given splits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, TypeAlias

from pydantic import Field

from luban.core.contracts import Record, Source
from luban.core.errors import DataError
from luban.core.registry import nearest
from luban.data.files import expand

Patterns: TypeAlias = str | tuple[str, ...]


class FileSource(Source, ABC):
    """A source whose records come from files, one file after the other."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    path: Patterns | dict[str, Patterns] = Field(
        union_mode="left_to_right",
        description=(
            "A file, a folder, a glob or several of them; or a table from split (`train`, "
            "`validation`, `test`) to these."
        ),
    )

    def splits(self) -> tuple[str, ...]:
        """Return the splits that ``path`` names; a plain path is all ``train``."""
        if not isinstance(self.path, dict):
            return ("train",)
        known = ["train", "validation", "test"]
        for split in self.path:
            if split not in known:
                raise DataError(
                    f"there is no split named {split!r}.",
                    where="path",
                    expected=", ".join(known),
                    fix=nearest(split, known),
                )
        return tuple(split for split in known if split in self.path)

    def read(self, split: str) -> Iterator[Record]:
        """Yield the records of a split, file by file."""
        for path in self._files(split):
            yield from self.read_file(path)

    def files(self) -> tuple[Path, ...]:
        """Return the files of all splits."""
        return tuple(path for split in self.splits() for path in self._files(split))

    @abstractmethod
    def read_file(self, path: Path) -> Iterator[Record]:
        """Yield the records of one file."""

    def _files(self, split: str) -> tuple[Path, ...]:
        patterns = self.path[split] if isinstance(self.path, dict) else self.path
        return expand(patterns, self.suffixes)
