"""The data of a recipe: a source, cleaned and split, streamed as often as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from os.path import commonpath, relpath
from pathlib import Path

from pydantic import Field

from luban.core.component import Settings, digest_of
from luban.core.contracts import Cleaner, Record, SetApart, Source, Tally
from luban.core.errors import DataError
from luban.core.files import sha256_of
from luban.core.progress import tracked
from luban.core.registry import nearest
from luban.data.checks.set_apart import Apart, around, usable
from luban.data.files.reading import missing
from luban.data.files.records import size_of, text_of
from luban.data.files.split_names import SPLITS
from luban.data.grouping import shared_field
from luban.data.split import By, Split


class Data(Settings):
    """Where records come from, what is done to them, and how they are divided.

    Nothing is held in memory: every reading streams the files again.
    """

    source: Source = Field(description="Where records come from.")
    cleaners: tuple[Cleaner, ...] = Field(
        default=(), description="What changes and drops records, in this order, before the split."
    )
    split: Split = Field(default_factory=Split, description="How records are divided.")
    max_overlap: float = Field(
        default=0.05,
        ge=0.0,
        le=1.0,
        description=(
            "Share of validation or test records found in train too, above which `prepare` fails."
        ),
    )

    def available_splits(self) -> tuple[str, ...]:
        """Return the splits there are, train first.

        Raises:
            DataError: if the source's own splits are asked for and lack train.
        """
        if self.split_by() != "given":
            return self.split.names()
        given = self.source.splits()
        if "train" not in given:
            raise DataError(
                "the source has no train split.", where="data.source", got=", ".join(given)
            )
        dealt = self.split.lacking(given).names()
        return tuple(split for split in SPLITS if split in (*given, *dealt))

    def split_by(self) -> By:
        """Return how records are divided, once ``auto`` is decided."""
        return self._decided(self._key(), self.split, self.source.splits(), self._source)[0]

    def dealing(self) -> tuple[Split, By]:
        """Return how what the source does not give is dealt out: all of it, or its train split."""
        key, how = self._key(), self.split
        by, field = self._decided(key, how, self.source.splits(), self._source)
        if by == "given":
            how = how.lacking(self.source.splits())
            if self.split.key:
                return how.replace(by="group", key=self.split.key), "group"
            by, field = self._decided(f"{key}: lacking", how, (), self._pool)
        return (how.replace(by=by, key=field) if field else how), by

    def split_rule(self) -> str:
        """Return how records are divided, in words: for the card, ``prepare`` and ``init``."""
        how, by = self.dealing()
        if self.split_by() != "given":
            return how.words(by)
        told = f"as the source gives them: {', '.join(self.source.splits())}"
        lacking = how.names() != ("train",)
        return f"{told}; out of train, {how.words(by)}" if lacking else told

    def _decided(
        self,
        key: str,
        how: Split,
        given: tuple[str, ...],
        records: Callable[[], Iterable[Record]],
    ) -> tuple[By, str]:
        """Return how records are divided, and the field that ``auto`` groups them by."""
        if key not in _by:
            by, field = how.decide(given, records()), ""
            if how.by == "auto" and by == "record" and len(how.names()) > 1:
                field = shared_field(records())
            _by[key] = ("group", field) if field else (by, "")
        return _by[key]

    def _assigner(self, how: Split, by: By) -> Callable[[Record], str] | None:
        """Return what tells the split of a record; None where it is told by other means."""
        if by not in ("record", "group", "label") or len(how.names()) < 2:
            return None
        key = f"{self._key()}: {how.digest()}"
        if key not in _assigners:
            cleaned = (r for r in self._cleaned(self._pool()) if not isinstance(r, SetApart))
            _assigners[key] = how.assigner(cleaned, by)
        return _assigners[key]

    def records(self, split: str) -> Iterable[Record]:
        """Return the records of a split that can be used; each iteration streams them anew.

        Raises:
            DataError: if there is no such split; while iterating, if no record can be used.
        """
        return _Records(self.entries(split))

    def entries(self, split: str) -> Iterable[Record]:
        """Return the same, and in their places those that the source sets apart.

        Raises:
            DataError: if there is no such split.
        """
        known = self.available_splits()
        if split not in known:
            raise DataError(
                f"there is no split {split!r}.",
                where="data",
                expected=", ".join(known),
                fix=nearest(split, list(known)) or f"give data.split.{split} a share.",
            )
        return _Entries(self, split)

    def survey(self) -> Survey:
        """Return counts over all splits and what each cleaner did: one pass, remembered."""
        key = self._key()
        if key not in _surveys:
            _surveys[key] = self._survey()
        return _surveys[key]

    def files_digest(self) -> str:
        """Return a hash of the content of all files and their places under one folder.

        That folder may be anywhere; within it, a file that moves may change its split.
        """
        files = self.source.files()
        root = commonpath([path.absolute().parent for path in files]) if files else ""
        return digest_of(
            [
                (relpath(path.absolute(), root), content_of(path))
                for path in tracked(files, "read the files")
            ]
        )

    def read(self, split: str) -> Iterator[Record]:
        """Yield the records of a split, cleaned; ``entries`` is the checked way to it."""
        given = self.split_by() == "given" and split != "train"
        if given and split in self.source.splits():
            yield from self._cleaned(self.source.read(split))
            return
        how, by = self.dealing()
        dealt = by in ("position", "order") and len(how.names()) > 1
        size = self.survey().dealt if dealt else 0
        yield from how.deal(self._cleaned(self._pool()), split, by, size, self._assigner(how, by))

    def _source(self) -> Iterator[Record]:
        for split in self.source.splits():
            yield from self.source.read(split)

    def _pool(self) -> Iterator[Record]:
        return self.source.read("train") if self.split_by() == "given" else self._source()

    def _cleaned(self, entries: Iterable[Record]) -> Iterator[Record]:
        return around(entries, lambda records: self._clean(records, self._tallies()))

    def _clean(self, records: Iterable[Record], tallies: tuple[Tally, ...]) -> Iterator[Record]:
        for cleaner, tally in zip(self.cleaners, tallies, strict=True):
            records = cleaner.clean(records, tally)
        yield from records

    def _tallies(self) -> tuple[Tally, ...]:
        return tuple(Tally() for _ in self.cleaners)

    def _survey(self) -> Survey:
        survey = Survey(tallies=self._tallies())
        how, by = self.dealing()
        given = self.split_by() == "given"
        # A cleaner sees what training will see: each given split on its own.
        for split in self.source.splits() if given else ("train",):
            entries = self.source.read(split) if given else self._source()
            cleaned = self._clean(survey.counted(entries), survey.tallies)
            for place, record in how.units(cleaned) if by == "order" else enumerate(cleaned):
                survey.kept += 1
                survey.size += sum(size_of(record))
                if split == "train" and by == "position":
                    survey.dealt += len(text_of(record))
                elif split == "train":
                    survey.dealt = place + 1
        return survey

    def _key(self) -> str:
        return digest_of([self.to_dict(), self.files_digest()])


@dataclass(slots=True)
class Survey:
    """What one pass over all the data counted.

    Attributes:
        rows: Records the source read: those it gave, and those it set apart.
        kept: Records left after cleaning.
        size: Characters, and bytes of files, in these.
        dealt: How much is dealt out: characters by position, else units.
        apart: Records that the source set apart.
        tallies: What each cleaner did, in order.
    """

    rows: int = 0
    kept: int = 0
    size: int = 0
    dealt: int = 0
    apart: Apart = field(default_factory=Apart)
    tallies: tuple[Tally, ...] = field(default=())

    def counted(self, entries: Iterable[Record]) -> Iterator[Record]:
        """Yield the records that can be used, and count all."""
        for entry in entries:
            self.rows += 1
            if isinstance(entry, SetApart):
                self.apart.add(entry.error)
            else:
                yield entry


class _Entries(Iterable[Record]):
    """A split that can be iterated many times."""

    def __init__(self, data: Data, split: str) -> None:
        self._data, self._split = data, split

    def __iter__(self) -> Iterator[Record]:
        return self._data.read(self._split)


class _Records(Iterable[Record]):
    """What of it can be used."""

    def __init__(self, entries: Iterable[Record]) -> None:
        self._entries = entries

    def __iter__(self) -> Iterator[Record]:
        return usable(self._entries)


# What was already found out, for files that have not changed since.
_by: dict[str, tuple[By, str]] = {}
_assigners: dict[str, Callable[[Record], str]] = {}
_surveys: dict[str, Survey] = {}
_contents: dict[tuple[str, int, int], str] = {}


def content_of(path: Path) -> str:
    """Return the SHA-256 of a file; computed once while size and time stamp stay.

    Raises:
        DataError: if it is missing.
    """
    try:
        stat = path.stat()
    except OSError:
        raise missing(path) from None
    key = (str(path.absolute()), stat.st_size, stat.st_mtime_ns)
    if key not in _contents:
        _contents[key] = sha256_of(path)
    return _contents[key]
