"""Which split a record belongs to: by place, by a hash, by file, or as the source says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from fractions import Fraction
from hashlib import blake2b
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from luban.core.component import Settings
from luban.core.contracts import Record, SetApart
from luban.core.errors import DataError
from luban.data.checks.set_apart import around
from luban.data.files.records import own_fields, value_at
from luban.data.files.split_names import SPLITS
from luban.data.media.media_files import content_of
from luban.data.stratified import Strata

By: TypeAlias = Literal["position", "record", "label", "file", "group", "order", "stride", "given"]
Share: TypeAlias = float | tuple[str, ...]

_MANY = 100  #: documents of running text from which on whole documents are dealt out

_NO_LABEL = ""  #: no JSON is empty

#: How records are dealt out.
_DEALT = {
    "position": "by position: the last characters of the running text are held out",
    "order": "in order: the last records are held out",
    "stride": "by stride: every n-th record is held out",
    "record": "by a hash of each record; equal records stay together",
    "label": "by a hash of each record, of every value of {key!r} its share; equal records stay "
    "together",
    "file": "by a hash of each file; its records stay together",
    "group": "by a hash of the field {key!r}; records of equal {key!r} stay together",
}


class Split(Settings):
    """How records are divided into train, validation and test."""

    by: By | Literal["auto"] = Field(
        default="auto",
        description=(
            "`given`: the source's own splits; a held-out split it lacks is dealt from its train "
            "split. `position`: the last characters of the text, cut exactly. `order`: the last "
            "records, counted exactly. `stride`: every n-th record, from the first on (0.2: every "
            "fifth). `record`, `file`, `group`: a seeded hash, so that what a record belongs to "
            "never changes when others are added; equal records stay together. `label`: "
            "likewise, but every label has its share (stratified); a record that is added moves a "
            "few others of its label at most. `auto`: given if the source has several splits, "
            "position for running text of few documents, group for records that share a long text "
            "or an origin (context, premise, speaker, …), else record."
        ),
    )
    validation: Share = Field(
        default=0.05,
        union_mode="left_to_right",
        description="Share of the data, or file names (globs) with `by: file`.",
    )
    test: Share = Field(
        default=0.05,
        union_mode="left_to_right",
        description="Share of the data, or file names (globs) with `by: file`.",
    )
    key: str = Field(
        default="",
        description=(
            "The field that names the group, for `group`; of the labels, for `label` (empty: "
            "`label`). With `order` and `stride`, neighbours "
            "of equal value count as one record; with `given`, what is missing is dealt by it."
        ),
    )
    salt: str = Field(default="", description="Another salt, another draw.")

    @model_validator(mode="after")
    def _check(self) -> Split:
        shares = [share for share in (self.validation, self.test) if isinstance(share, float)]
        if any(share < 0 for share in shares) or sum(shares) >= 1:
            raise ValueError("validation and test are shares of 1 that leave some for train")
        if len(shares) < 2 and self.by not in ("auto", "file"):
            raise ValueError("file names for validation or test need `by: file`")
        if self.by == "group" and not self.key:
            raise ValueError("`by: group` needs `key`, the field that names the group")
        if self.key and self.by not in ("group", "label", "order", "stride", "given"):
            raise ValueError("`key` needs `by`: group, label, order, stride or given")
        return self

    def names(self) -> tuple[str, ...]:
        """Return the splits this makes of data that has none of its own."""
        return tuple(s for s in SPLITS if s == "train" or getattr(self, s))

    def lacking(self, given: tuple[str, ...]) -> Split:
        """Return how to deal, from train, the held-out splits that are not given."""
        return self.replace(by="auto", key="", **{s: 0.0 for s in given if s != "train"})

    def decide(self, given: tuple[str, ...], records: Iterable[Record]) -> By:
        """Return ``by``, or what ``auto`` comes to; reads as few records as it can."""
        if self.by != "auto":
            return self.by
        if not (isinstance(self.validation, float) and isinstance(self.test, float)):
            return "file"
        if len(given) > 1:
            return "given"
        documents: set[str] = set()
        for record in records:
            if isinstance(record, SetApart):
                continue
            if "_document" not in record or len(documents) >= _MANY:
                return "record"
            documents.add(record["_document"])
        return "position"

    def assign(self, record: Record, by: By) -> str:
        """Return the split of one record, from the record alone.

        Raises:
            DataError: if the group's field is missing.
        """
        file = str(record.get("_where", "")).rpartition(":")[0]
        for split in ("test", "validation"):
            if isinstance(globs := getattr(self, split), tuple) and _matches(file, globs):
                return split
        place = self._place(_identity(record, by, self.key, file))
        test = self.test if isinstance(self.test, float) else 0.0
        validation = self.validation if isinstance(self.validation, float) else 0.0
        if place < test:
            return "test"
        return "validation" if place < test + validation else "train"

    def assigner(self, records: Iterable[Record], by: By) -> Callable[[Record], str]:
        """Return what tells the split of a record, given all that are divided.

        Only ``record``, ``group`` and ``label`` look at more than the record itself.
        """
        if by == "label":
            return self._stratified(records)
        moved = self._least(records, by) if by in ("record", "group") else {}
        if not moved:
            return lambda record: self.assign(record, by)
        return lambda record: moved.get(
            _identity(record, by, self.key, ""), self.assign(record, by)
        )

    def _stratified(self, records: Iterable[Record]) -> Callable[[Record], str]:
        def hashed(record: Record) -> tuple[str, float]:
            return _label(record, self.key), self._place(_identity(record, "label", self.key, ""))

        shares = {split: float(getattr(self, split)) for split in ("test", "validation")}
        strata = Strata(map(hashed, records), shares, self._place)
        if strata.labels == {_NO_LABEL}:
            raise DataError(
                "no record has the field by which the data are split.",
                where="data.split.key" if self.key else "data.split.by",
                got=self.key or "label",
                fix="name the field of the labels in data.split.key, or set data.split.by: record.",
            )
        return lambda record: strata.split_of(*hashed(record))

    def _least(self, records: Iterable[Record], by: By) -> dict[str, str]:
        """Return which identities move, so that no split is empty whose share is half a unit.

        Those of train with the smallest places move. Reads until each split has a record: of many
        records, the first few hundred.

        Args:
            records: All there are.
            by: ``record`` or ``group``.
        """
        lacking, places, units = set(self.names()), dict[str, float](), 0
        for record in records:
            units += 1
            split = self.assign(record, by)
            lacking.discard(split)
            if not lacking:
                return {}
            if split == "train":
                identity = _identity(record, by, self.key, "")
                places[identity] = self._place(identity)
        wanted = [s for s in SPLITS[1:] if s in lacking and 2 * getattr(self, s) * units >= 1]
        free = sorted(places, key=lambda identity: places[identity])[: max(0, len(places) - 1)]
        return dict(zip(free, wanted, strict=False))

    def deal(
        self,
        entries: Iterable[Record],
        split: str,
        by: By,
        size: int,
        told: Callable[[Record], str] | None = None,
    ) -> Iterator[Record]:
        """Yield the records that belong to a split.

        What is set apart belongs to the split of its file, if files are dealt, else to train: what
        it would have been is not known.

        Args:
            entries: All there are, in order.
            split: The split.
            by: What ``decide`` came to.
            size: How much there is: characters (``position``) or units (``order``).
            told: What ``assigner`` came to; None: a record alone tells.
        """
        each = told or (lambda record: self.assign(record, by))
        for entry in around(entries, lambda records: self._dealt(records, split, by, size, each)):
            if not isinstance(entry, SetApart) or self._split_of(entry, by) == split:
                yield entry

    def _split_of(self, apart: SetApart, by: By) -> str:
        return self.assign(apart, "file") if by == "file" else "train"

    def _dealt(
        self,
        records: Iterable[Record],
        split: str,
        by: By,
        size: int,
        told: Callable[[Record], str],
    ) -> Iterator[Record]:
        if self.names() == (split,):
            yield from records
        elif by == "position":
            yield from slice_records(records, *self.bounds(split, size))
        elif by == "order":
            start, stop = self.bounds(split, size)
            yield from (r for place, r in self.units(records) if start <= place < stop)
        elif by == "stride":
            yield from (r for place, r in self.units(records) if self._strided(place) == split)
        else:
            yield from (r for r in records if told(r) == split)

    def units(self, records: Iterable[Record]) -> Iterator[tuple[int, Record]]:
        """Yield (place from 0, record); neighbours of equal ``key`` share a place."""
        place, last = -1, object()
        for record in records:
            value = value_at(record, self.key) if self.key else object()
            place += value != last
            last = value
            yield place, record

    def _strided(self, place: int) -> str:
        """Return the split of a place: test takes its share first, validation of what is left.

        A share s takes place i where a whole number lies in [i * s, (i + 1) * s).
        """
        for split in ("test", "validation"):
            share = Fraction(str(getattr(self, split)))
            if split == "validation":
                share /= 1 - Fraction(str(self.test))
            before = math.ceil(place * share)
            if before < math.ceil((place + 1) * share):
                return split
            place -= before
        return "train"

    def words(self, by: By) -> str:
        """Return how records are dealt out, for a reader who has not read the reference."""
        held = [name for name in self.names() if name != "train"]
        if not held:
            return "nothing is held out"
        facts = [", ".join(f"{getattr(self, name)} for {name}" for name in held)]
        if self.key and by in ("order", "stride"):
            facts.append(f"neighbours of equal {self.key!r} count as one")
        if self.salt and by in ("record", "label", "file", "group"):
            facts.append(f"salt of the hash: {self.salt!r}")
        told = _DEALT.get(by, by).format(key=self.key or "label")
        return f"{told} ({'; '.join(facts)})"

    def bounds(self, split: str, size: int) -> tuple[int, int]:
        """Return the units [start, stop) of a split, of ``size`` in all.

        Train comes first and has ``floor(size * (1 - validation - test))``, or so much less that
        no split is empty whose share is half a unit.
        """
        held = [s if isinstance(s, float) else 0.0 for s in (self.validation, self.test)]
        # Rounded, so that 1 - 0.05 - 0.05 is 0.9 and not a hair less.
        first = math.floor(size * round(1 - sum(held), 12))
        second = math.floor(size * round(1 - held[1], 12))
        if size >= len(self.names()):
            second = min(second, size - (2 * held[1] * size >= 1))
            first = min(first, second - (2 * held[0] * size >= 1))
        edges = (0, first, second, size)
        index = SPLITS.index(split)
        return edges[index], edges[index + 1]

    def _place(self, identity: str) -> float:
        digest = blake2b(f"{self.salt}\0{identity}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


def slice_records(records: Iterable[Record], start: int, stop: int) -> Iterator[Record]:
    """Yield the characters [start, stop) of the joined texts, cutting records at the ends.

    Raises:
        DataError: if a record has no text to cut.
    """
    at = 0
    for record in records:
        text = record.get("text")
        if not isinstance(text, str):
            raise DataError(
                "a split by position needs running text.",
                where=record.get("_where", ""),
                fix="set data.split.by: record, or make `text` with data.source.template.",
            )
        first, last = max(start - at, 0), min(stop - at, len(text))
        if first == 0 and last == len(text):
            yield record
        elif first < last:
            yield _part(record, text, first, last)
        at += len(text)
        if at >= stop:
            return


def _part(record: Record, text: str, first: int, last: int) -> Record:
    file, _, line = str(record.get("_where", "")).rpartition(":")
    if line.isdecimal():
        line = str(int(line) + text.count("\n", 0, first))
    begins = record.get("_first", True) and first == 0
    ends = record.get("_last", True) and last == len(text)
    place = {"_where": f"{file}:{line}", "_first": begins, "_last": ends}
    return {**record, "text": text[first:last], **place}


def _identity(record: Record, by: By, key: str, file: str) -> str:
    if by == "group":
        return str(value_at(record, key))
    if by == "file":
        return Path(file).name
    if "_id" in record or "_document" in record:
        return str(record.get("_id", record.get("_document")))
    return json.dumps(own_fields(record), sort_keys=True, ensure_ascii=False, default=content_of)


def _label(record: Record, key: str) -> str:
    """Return the label of a record as JSON; records without one are a group of their own."""
    try:
        label = value_at(record, key or "label")
    except DataError:
        return _NO_LABEL
    return json.dumps(label, sort_keys=True, ensure_ascii=False, default=str)


def _matches(file: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatch(file, glob) or fnmatch(Path(file).name, glob) for glob in globs)
