"""Records that cannot be used, in the stream of those that can: set apart, never lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from luban.core.contracts import Record, SetApart
from luban.core.errors import DataError, UnfitError

_Made = TypeVar("_Made")

#: Why a record is set apart whose example has no position that carries a loss.
EMPTY = "there is nothing to learn from"
SHOWN = 10  #: records set apart that are named
_LINE = "\n    "


def tried(make: Callable[[], Record], where: object = "") -> Record:
    """Return the record that a function makes; set apart, if that raises a ``DataError``.

    Args:
        make: Makes one record; what it raises concerns this record alone.
        where: Where the record lies, if the error does not say it.
    """
    try:
        return make()
    except DataError as error:
        return SetApart(error, where)


def usable(records: Iterable[Record], apart: Apart | None = None) -> Iterator[Record]:
    """Yield the records that can be used; what is wrong with the others goes to ``apart``.

    Raises:
        UnfitError: the first one, if no record can be used: then it is not the rows that are wrong.
    """
    first, found = None, False
    for record in records:
        if not isinstance(record, SetApart):
            found = True
            yield record
            continue
        first = first or record.error
        if apart is not None:
            apart.add(record.error)
    if first and not found:
        raise first


def made_of(records: Iterable[Record], make: Callable[[Record], _Made]) -> Iterator[_Made]:
    """Yield what a function makes of each record that it can use, for tasks that learn.

    The others are left out here: they are set apart, and counted, when they are encoded.

    Raises:
        UnfitError: the first one, if no record can be used.
    """
    first, found = None, False
    for record in records:
        try:
            one = make(record)
        except DataError as error:
            first = first or UnfitError.of(error, str(record.get("_where", "")))
            continue
        found = True
        yield one
    if first and not found:
        raise first


def empty(where: object) -> UnfitError:
    """Return why a record is set apart whose example has no position that carries a loss."""
    return UnfitError(
        f"{EMPTY}.",
        where=where,
        expected="a text, or an answer, that is not empty",
        fix="drop empty rows with the cleaner `length: {min_characters: 1}`, check which fields "
        "are supervised, or raise prepare.max_empty.",
    )


@dataclass(slots=True)
class Apart:
    """How many records were set apart, and why.

    Attributes:
        reasons: How many for each reason.
        first: What is wrong with the first record of each reason, in their order.
        lines: Where the first records lie, and what is wrong with each.
    """

    reasons: Counter[str] = field(default_factory=Counter)
    first: dict[str, UnfitError] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return self.reasons.total()

    def __str__(self) -> str:
        return self.named("; ")

    def add(self, error: UnfitError) -> None:
        """Count a record; what is wrong with it says where it lies."""
        self.reasons[error.reason] += 1
        self.first.setdefault(error.reason, error)
        if len(self.lines) < SHOWN:
            self.lines.append(error.line())

    def join(self, other: Apart) -> Apart:
        """Return the counts of both."""
        lines = [*self.lines, *other.lines][:SHOWN]
        return Apart(self.reasons + other.reasons, {**other.first, **self.first}, lines)

    def named(self, between: str) -> str:
        """Return where the first records lie, what is wrong with each, and how many are more."""
        more = len(self) - len(self.lines)
        return between.join([*self.lines, *([f"and {more:,} more"] if more else [])])

    def told(self) -> str:
        """Return the reasons with how often each, the commonest first."""
        return _told(self.reasons)

    def check(self, records: int, *, unreadable: float, empty: float = 1.0) -> None:
        """Check how much was set apart.

        Args:
            records: How many records there are in all.
            unreadable: What share of them may be set apart (``prepare.max_unreadable``).
            empty: What share may be set apart since it teaches nothing (``prepare.max_empty``).

        Raises:
            DataError: if it is more; it says all that the error of the first such record says.
        """
        times = self.reasons[EMPTY]
        if times > empty * records:
            raise self._too_many(Counter({EMPTY: times}), records, f"{empty:g} (prepare.max_empty)")
        if len(self) > unreadable * records:
            bound = f"{unreadable:g} (prepare.max_unreadable)"
            raise self._too_many(self.reasons, records, bound)

    def _too_many(self, reasons: Counter[str], records: int, bound: str) -> DataError:
        first = next(error for reason, error in self.first.items() if reason in reasons)
        total = f"{reasons.total():,} of {records:,} records cannot be used"
        return DataError(
            f"{first.what.rstrip('.')}: {total}, more than a share of {bound}:"
            f"{_LINE}{self.named(_LINE)}",
            where=first.where,
            expected=first.expected,
            got=_told(reasons) if first.got is None or len(reasons) > 1 else first.got,
            fix=first.fix or "mend or drop these rows, or raise prepare.max_unreadable.",
        )


def around(
    records: Iterable[Record], change: Callable[[Iterator[Record]], Iterable[Record]]
) -> Iterator[Record]:
    """Yield what a function makes of the records, with what is set apart led past it.

    All records are read, even if the function stops early.
    """
    waiting: list[SetApart] = []

    def fit() -> Iterator[Record]:
        for record in records:
            if isinstance(record, SetApart):
                waiting.append(record)
            else:
                yield record

    rest = fit()
    for record in change(rest):
        yield from waiting
        waiting.clear()
        yield record
    for _ in rest:
        pass
    yield from waiting


def _told(reasons: Counter[str]) -> str:
    return "; ".join(f"{times:,}: {reason}" for reason, times in reasons.most_common(5))
