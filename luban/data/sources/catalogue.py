"""Public data sets by name: found under LUBAN_DATA, or downloaded when told to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from luban.core.contracts import Record, Source
from luban.data.download import Entry, catalogue_entry, local_files


class Catalogue(Source):
    """A public data set that ``luban/data/catalogue.yaml`` describes."""

    dataset: str = Field(description="Its name there.")
    download: bool = Field(
        default=False,
        description=(
            "Fetch what is missing, once, into `LUBAN_DATA` (else the cache folder); without it, "
            "nothing is ever fetched."
        ),
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Other arguments for the source that reads it, such as `{document: line}`.",
    )

    def splits(self) -> tuple[str, ...]:
        """Return the splits the set comes with."""
        return self._reader.splits()

    def read(self, split: str) -> Iterator[Record]:
        """Yield the records of a split."""
        return self._reader.read(split)

    def files(self) -> tuple[Path, ...]:
        """Return the set's files on this machine.

        Raises:
            DataError: if they are not here and ``download`` is off, or the download fails.
        """
        return self._reader.files()

    def facts(self) -> Mapping[str, str]:
        """Return title, licence and address."""
        entry = self._entry
        return {"title": entry.title, "licence": entry.licence, "address": entry.address}

    @cached_property
    def _entry(self) -> Entry:
        return catalogue_entry(self.dataset)

    @cached_property
    def _reader(self) -> Source:
        """The source that reads the files: composed by name, as a recipe would."""
        paths = local_files(self.dataset, self._entry, download=self.download)
        names = [str(path) for path in paths]
        return Source.from_dict({**self._entry.read, "path": names, **self.options})
