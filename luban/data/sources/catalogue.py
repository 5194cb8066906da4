"""Public data sets by name: found under LUBAN_DATA, or downloaded when told to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from luban.core.contracts import Record, Source
from luban.core.errors import ContractError
from luban.data.checks.set_apart import usable
from luban.data.files.download import Entry, catalogue_entry, local_files
from luban.data.files.split_names import SPLITS


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
    verify: bool = Field(
        default=True, description="Whether files must be those that the catalogue knows."
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Other arguments for the source that reads it, such as `{document: line}`.",
    )

    def splits(self) -> tuple[str, ...]:
        """Return the splits the set comes with."""
        given, split = self._reader.splits(), self._entry.split
        dealt = split.names() if split else ()
        return tuple(name for name in SPLITS if name in (*given, *dealt))

    def read(self, split: str) -> Iterator[Record]:
        """Yield the records of a split."""
        how = self._entry.split
        if how is None or (split != "train" and split in self._reader.splits()):
            return self._reader.read(split)
        by = how.decide((), ())
        return how.deal(self._reader.read("train"), split, by, self._size if by == "order" else 0)

    def files(self) -> tuple[Path, ...]:
        """Return the set's files on this machine.

        Raises:
            DataError: if they are not here and ``download`` is off, or the download fails.
        """
        return self._reader.files()

    def facts(self) -> Mapping[str, str]:
        """Return title, licence, address, the note, and what was left out in reading."""
        entry = self._entry
        facts = {"title": entry.title, "licence": entry.licence, "address": entry.address}
        facts |= {"note": entry.note} if entry.note else {}
        return {**facts, **self._reader.facts()}

    def settings(self) -> dict[str, Any]:
        """Return how the set's files are read."""
        return {**self._entry.read, **self.options}

    @cached_property
    def _entry(self) -> Entry:
        return catalogue_entry(self.dataset)

    @cached_property
    def _reader(self) -> Source:
        """The source that reads the files: composed by name, as a recipe would."""
        entry = self._entry
        paths = local_files(self.dataset, entry, download=self.download, verify=self.verify)
        found = {name: str(path) for name, path in paths.items()}
        path = _placed(entry.read["path"], found) if "path" in entry.read else [*found.values()]
        return Source.from_dict({**entry.read, "path": path, **self.options})

    @cached_property
    def _size(self) -> int:
        how = self._entry.split
        records = usable(self._reader.read("train"))
        return max((place for place, _ in how.units(records)), default=-1) + 1 if how else 0


def _placed(names: Any, found: Mapping[str, str]) -> Any:
    """Return the names of an entry's ``path`` as paths on this machine."""
    if isinstance(names, dict):
        return {key: _placed(value, found) for key, value in names.items()}
    if isinstance(names, list | tuple):
        return [_placed(name, found) for name in names]
    if names not in found:
        raise ContractError("the catalogue reads a file it does not list.", got=names)
    return found[names]
