"""How much of the held-out data stands in the training data too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np

from luban.core.contracts import Record
from luban.core.errors import DataError
from luban.core.progress import tracked
from luban.data.dataset import Data
from luban.data.files.records import identity_of, parts_of

Array: TypeAlias = "np.ndarray[Any, Any]"
Part: TypeAlias = tuple[str, int]  #: a field and the hash of its value

SHINGLE = 50  #: characters of a passage that is looked for verbatim
STRIDE = 25  #: a held-out passage starts every so many characters
_MOST = 2_000_000  #: records and passages looked for in a split: bounds memory
_BATCH = 1 << 18  #: characters of train looked through at once
_SHOWN = 5
_DOCUMENTS = 5  #: held-out records up to which passages decide
_REPEATED = 20  #: a field whose values stand in more records than this is a label or the like
_BASE = np.uint64(0x9E3779B97F4A7C15)
_BITS = 24


@dataclass(slots=True)
class Overlap:
    """Overlap of one held-out split with train.

    Attributes:
        records: Held-out records looked for.
        same: Those that train holds too, up to case and blanks.
        passages: Passages of ``SHINGLE`` characters looked for.
        copied: Those that occur verbatim in train.
        examples: Where the first ones stand, and how they begin.
        parts: Of records made of several texts (question and context, source and target): for
            how many of them train holds the same text in the same field.
    """

    records: int = 0
    same: int = 0
    passages: int = 0
    copied: int = 0
    examples: list[str] = field(default_factory=list)
    parts: dict[str, int] = field(default_factory=dict)

    @property
    def record_share(self) -> float:
        """Share of records that train holds too."""
        return self.same / max(1, self.records)

    @property
    def passage_share(self) -> float:
        """Share of passages that occur verbatim in train."""
        return self.copied / max(1, self.passages)


def overlap(data: Data) -> dict[str, Overlap]:
    """Return the overlap of each held-out split with train.

    Train is streamed once; only hashes of held-out text are held in memory.
    """
    wanted = {s: _Wanted(data.records(s)) for s in data.available_splits() if s != "train"}
    if wanted:
        for records, texts in tracked(_batches(data.records("train")), "compare with train"):
            identities = {_identity(text) for text in texts}
            parts = {part for record in records for part in _parts(record)}
            # A character that text does not hold keeps passages from running across records.
            hashes = _rolling("\0".join(texts))
            for split in wanted.values():
                split.strike(identities, parts, hashes)
    return {name: split.result() for name, split in wanted.items()}


def check_overlap(data: Data, found: dict[str, Overlap]) -> None:
    """Refuse held-out splits that repeat too much of train.

    Raises:
        DataError: if the share of repeated records is above ``data.max_overlap``, or most of a
            few long documents stands in train, where no whole record need be the same.
    """
    for name, split in found.items():
        most = max(0.5, data.max_overlap)
        if split.records <= _DOCUMENTS and split.passage_share > most:
            raise DataError(
                f"{split.copied:,} of {split.passages:,} {name} passages are in train too.",
                expected=f"a share of at most {most:g} (data.max_overlap, if that is more)",
                got=f"{split.passage_share:.3g}",
                fix="hold out another text.",
            )
        if split.record_share > data.max_overlap:
            raise DataError(
                f"{split.same:,} of {split.records:,} {name} records are in train too.",
                where="; ".join(split.examples),
                expected=f"a share of at most {data.max_overlap:g} (data.max_overlap)",
                got=f"{split.record_share:.3g}",
                fix=_advice(data.split_by()),
            )


def _advice(by: str) -> str:
    """Return what helps: cleaners see each given split on its own."""
    if by == "given":
        return (
            "remove these rows from one of the given splits, divide all data anew "
            "(data.split.by: record or group), or raise data.max_overlap if they are meant."
        )
    return "add the cleaner `exact-duplicates`, or split by record or group."


class _Wanted:
    """Hashes of a held-out split, struck off as train turns out to hold them."""

    def __init__(self, records: Iterable[Record]) -> None:
        identities: list[int] = []
        wheres: list[str] = []
        passages: list[Array] = []
        held = 0
        self._parts = Counter[Part]()
        for record in records:
            text = identity_of(record)
            if len(identities) < _MOST:
                identities.append(_identity(text))
                self._parts.update(_parts(record))
                wheres.append(f"{record.get('_where', '')}: {text.strip()[:60]!r}")
            if held < _MOST:
                passages.append(_rolling(text)[::STRIDE])
                held += len(passages[-1])
        self._identities, self._wheres = np.array(identities, np.uint64), wheres
        self._same = set[int]()
        self._same_parts = set[Part]()
        self._known = set(identities)
        joined = np.concatenate(passages) if passages else np.zeros(0, np.uint64)
        self._passages, self._times = np.unique(joined, return_counts=True)
        self._copied = np.zeros(len(self._passages), bool)
        # Most passages of train are not wanted: a table of bits says so at once.
        self._maybe = np.zeros(1 << _BITS, bool)
        self._maybe[_short(self._passages)] = True

    def strike(self, identities: set[int], parts: set[Part], hashes: Array) -> None:
        """Note what some training records hold."""
        self._same |= identities & self._known
        self._same_parts |= parts & self._parts.keys()
        likely = hashes[self._maybe[_short(hashes)]]
        if len(likely) and len(self._passages):
            places = np.minimum(np.searchsorted(self._passages, likely), len(self._passages) - 1)
            self._copied[places[self._passages[places] == likely]] = True

    def result(self) -> Overlap:
        """Return the counts."""
        same = np.isin(self._identities, np.array(sorted(self._same), np.uint64))
        return Overlap(
            records=len(self._identities),
            same=int(same.sum()),
            passages=int(self._times.sum()),
            copied=int(self._times[self._copied].sum()),
            examples=[self._wheres[index] for index in np.flatnonzero(same)[:_SHOWN]],
            parts=self._shared(),
        )

    def _shared(self) -> dict[str, int]:
        """Return how many records share each field, but for fields of few values (labels)."""
        distinct = Counter(name for name, _ in self._parts)
        shared = {name: 0 for name, n in distinct.items() if n * _REPEATED >= len(self._identities)}
        for name, value in self._same_parts:
            if name in shared:
                shared[name] += self._parts[name, value]
        return shared


def _batches(records: Iterable[Record]) -> Iterator[tuple[list[Record], list[str]]]:
    """Yield some records at a time, with their texts."""
    batch, texts, size = list[Record](), list[str](), 0
    for record in records:
        batch.append(record)
        texts.append(identity_of(record))
        size += len(texts[-1])
        if size >= _BATCH:
            yield batch, texts
            batch, texts, size = [], [], 0
    yield batch, texts


def _parts(record: Record) -> Iterator[Part]:
    return ((name, _identity(value)) for name, value in parts_of(record).items())


def _identity(text: str) -> int:
    """Return a hash of a text that ignores case and the amount of blank space."""
    plain = " ".join(text.casefold().split())
    return int.from_bytes(
        blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )


def _rolling(text: str) -> Array:
    """Return the hash of the ``SHINGLE`` characters from each position on, uint64.

    A polynomial in an odd base modulo 2^64 (Karp and Rabin 1987), as differences of prefix sums;
    the inverse powers of the base make equal passages equal wherever they stand.
    """
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if len(points) < SHINGLE:
        return np.zeros(0, np.uint64)
    powers, inverses = _powers(len(points) + 1)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(_mixed(points) * powers[:-1])])
    return _mixed((sums[SHINGLE:] - sums[:-SHINGLE]) * inverses[: len(points) - SHINGLE + 1])


def _mixed(values: Array) -> Array:
    """Return values with their bits spread (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray(values ^ (values >> np.uint64(27)))


def _short(hashes: Array) -> Array:
    return np.asarray(hashes >> np.uint64(64 - _BITS))


_tables: list[Array] = [np.ones(1, np.uint64), np.ones(1, np.uint64)]


def _powers(count: int) -> tuple[Array, Array]:
    """Return the first powers of the base and of its inverse; kept for the next text."""
    if len(_tables[0]) < count:
        for index, base in enumerate((int(_BASE), pow(int(_BASE), -1, 1 << 64))):
            steps = np.full(count, base, np.uint64)
            steps[0] = 1
            _tables[index] = np.multiply.accumulate(steps)
    return _tables[0][:count], _tables[1][:count]
