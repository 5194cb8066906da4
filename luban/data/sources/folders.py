"""A folder per label, a file per record."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from luban.core.contracts import Record
from luban.core.errors import DataError
from luban.data.checks.set_apart import tried
from luban.data.files.reading import open_text
from luban.data.sources._files import FileSource, labelled


class Folders(FileSource):
    """``path/LABEL/…/*.txt``, plain or gzip: a record has ``text`` and its folder as ``label``.

    Where no file is called so, all files are taken, as those of 20 Newsgroups. The labels take
    turns, so that the first records show them all.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".text")
    encoding: str = Field(default="utf-8", description="A codec of Python's.")

    def read(self, split: str) -> Iterator[Record]:
        """Yield the files of a split as records; one that is empty or cannot be read set apart.

        Raises:
            DataError: if the path is not a folder of folders.
        """
        for label, path in self._labelled(split):
            yield tried(partial(self._record, label, path), path)

    def files(self) -> tuple[Path, ...]:
        """Return the files of all splits."""
        return tuple(path for split in self.splits() for _, path in self._labelled(split))

    def _record(self, label: str, path: Path) -> Record:
        return {**next(self.read_file(path)), "label": label}

    def _labelled(self, split: str) -> Iterator[tuple[str, Path]]:
        patterns = self.path[split] if isinstance(self.path, dict) else self.path
        return labelled(patterns, self.suffixes)

    def read_file(self, path: Path) -> Iterator[Record]:
        """Yield the one text of a file."""
        with open_text(path, self.encoding) as file:
            text = file.read()
        if not text.strip():
            raise DataError("this file is empty.", where=path, fix="remove it, or fill it.")
        yield {"text": text, "_where": f"{path}:1"}
