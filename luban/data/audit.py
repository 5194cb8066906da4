"""Does every stored example teach something? Asked before training, answered with rows."""

from __future__ import annotations

from dataclasses import dataclass

from luban.core.contracts import Task
from luban.core.errors import DataError
from luban.data.store import Store

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Audit:
    """What the examples of one split teach.

    Attributes:
        examples: How many there are.
        supervised: Positions that carry a loss, over all of them.
        empty: Examples with nothing to learn from.
        truncated: Examples whose answer was cut off.
        ends: Examples whose end is supervised (None: the notion does not apply to any).
        empty_rows: Where the first ten empty examples came from.
        truncated_rows: Where the first ten truncated examples came from.
    """

    examples: int
    supervised: int
    empty: int
    truncated: int
    ends: int | None
    empty_rows: tuple[str, ...]
    truncated_rows: tuple[str, ...]


def audit(task: Task, store: Store, *, max_empty: float = 0.0, max_truncated: float = 0.1) -> Audit:
    """Ask the task what each stored example teaches, and refuse data that teach too little.

    Args:
        task: The task that encoded the store.
        store: The examples of one split.
        max_empty: Share of examples that may teach nothing.
        max_truncated: Share of examples whose answer may be cut off.

    Raises:
        DataError: beyond a bound, or if no example at all supervises its end though the task
            has ends; it names the first ten rows.
    """
    supervised, ends, ended = 0, 0, 0
    empty: list[int] = []
    truncated: list[int] = []
    for index in range(len(store)):
        found = task.supervision(store[index])
        supervised += found.count
        if found.count == 0:
            empty.append(index)
        if found.truncated:
            truncated.append(index)
        if found.ends is not None:
            ends += 1
            ended += found.ends
    result = Audit(
        examples=len(store),
        supervised=supervised,
        empty=len(empty),
        truncated=len(truncated),
        ends=ended if ends else None,
        empty_rows=_rows(store, empty),
        truncated_rows=_rows(store, truncated),
    )
    _check(result, max_empty, max_truncated)
    return result


def _rows(store: Store, indices: list[int]) -> tuple[str, ...]:
    return tuple(store.where(index) for index in indices[:_SHOWN])


def _check(found: Audit, max_empty: float, max_truncated: float) -> None:
    if found.empty > max_empty * found.examples:
        raise DataError(
            f"{found.empty:,} of {found.examples:,} rows carry nothing to learn from.",
            where=", ".join(found.empty_rows),
            expected=f"at most a share of {max_empty:g}",
            fix="drop empty rows with the cleaner `length: {min_characters: 1}`, or check which "
            "fields are supervised.",
        )
    if found.truncated > max_truncated * found.examples:
        raise DataError(
            f"the answers of {found.truncated:,} of {found.examples:,} rows are cut off.",
            where=", ".join(found.truncated_rows),
            expected=f"at most a share of {max_truncated:g}",
            fix="allow longer examples, or drop long rows with the cleaner `length`.",
        )
    if found.ends == 0:
        raise DataError(
            f"none of {found.examples:,} rows supervises its end: the model would never stop.",
            fix="put the end token among the supervised positions.",
        )
