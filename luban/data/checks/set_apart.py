"""Records that cannot be used, in the stream of those that can: set apart, never lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from luban.core.contracts import Record, SetApart
from luban.core.errors import DataError, UnfitError

_Made = TypeVar("_Made")

_SHOWN = 10  #: records set apart that are named
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


def usable(records: Iterable[Record], apart: list[UnfitError] | None = None) -> Iterator[Record]:
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
            apart.append(record.error)
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


def check_apart(apart: Sequence[UnfitError], records: int, share: float) -> None:
    """Check how much was set apart.

    Args:
        apart: Why, of each record.
        records: How many there are in all.
        share: What share of them may be set apart (``prepare.max_unreadable``).

    Raises:
        DataError: if it is more; it names the first ones, and says all that the first one's says.
    """
    if len(apart) > share * records:
        error = too_many(apart[0], Counter(one.reason for one in apart), records, share)
        error.what = f"{error.what.rstrip('.')}:\n    {listed(apart, _LINE)}"
        raise error


def too_many(first: UnfitError, reasons: Counter[str], records: int, share: float) -> DataError:
    """Return the error for too many records set apart: all that the first one's says, too."""
    return DataError(
        f"{first.what.rstrip('.')}: {reasons.total():,} of {records:,} records cannot be used, "
        f"more than a share of {share:g} (prepare.max_unreadable).",
        where=first.where,
        expected=first.expected,
        got=told(reasons) if first.got is None or len(reasons) > 1 else first.got,
        fix=first.fix or "mend or drop these rows, or raise prepare.max_unreadable.",
    )


def listed(apart: Sequence[UnfitError], between: str = "; ") -> str:
    """Return where the first records lie that are set apart, and why."""
    more = f"{between}and {len(apart) - _SHOWN:,} more" if len(apart) > _SHOWN else ""
    return between.join(error.line() for error in apart[:_SHOWN]) + more


def told(reasons: Counter[str]) -> str:
    """Return reasons with how often each, the commonest first."""
    return "; ".join(f"{times:,}: {reason}" for reason, times in reasons.most_common(5))


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
