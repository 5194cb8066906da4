"""Does every stored example teach something? Asked before training, answered with rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from luban.core.contracts import Task
from luban.core.errors import DataError
from luban.core.progress import tracked
from luban.data.store import Store

_SHOWN = 10

#: What was examined in this process: stores do not change.
_examined: dict[Path, Audit] = {}


@dataclass(frozen=True, slots=True)
class Audit:
    """What the examples of one split teach.

    Attributes:
        examples: How many there are.
        supervised: Positions that carry a loss, over all of them.
        empty: Examples with nothing to learn from.
        truncated: Examples whose answer was cut off.
        adjusted: Examples whose answer was changed so that a prediction can give it.
        ends: Examples whose end is supervised (None: the notion does not apply to any).
        empty_rows: Where the first ten empty examples came from.
        truncated_rows: Where the first ten truncated examples came from.
        adjusted_rows: Where the first ten examples with a changed answer came from.
        notes: What the task says of them, and how often.
        note_rows: Where the first ten examples came from of which it says so.
    """

    examples: int
    supervised: int
    empty: int
    truncated: int
    adjusted: int
    ends: int | None
    empty_rows: tuple[str, ...]
    truncated_rows: tuple[str, ...]
    adjusted_rows: tuple[str, ...]
    notes: Mapping[str, int]
    note_rows: Mapping[str, tuple[str, ...]]


def audit(
    task: Task,
    store: Store,
    *,
    max_empty: float = 0.0,
    max_truncated: float = 0.1,
    max_adjusted: float = 0.1,
) -> Audit:
    """Ask the task what each stored example teaches, and refuse data that teach too little.

    Args:
        task: The task that encoded the store.
        store: The examples of one split.
        max_empty: Share of examples that may teach nothing.
        max_truncated: Share of examples whose answer may be cut off.
        max_adjusted: Share of examples whose answer may have been changed.

    Raises:
        DataError: beyond a bound, or if no example at all supervises its end though the task
            has ends; it names the first ten rows.
    """
    found = examined(task, store)
    _check(found, max_empty, max_truncated, max_adjusted)
    return found


def examined(task: Task, store: Store) -> Audit:
    """Return what each stored example teaches; computed once for each store."""
    if store.folder not in _examined:
        _examined[store.folder] = _examine(task, store)
    return _examined[store.folder]


def _examine(task: Task, store: Store) -> Audit:
    supervised, ends, ended = 0, 0, 0
    empty, truncated, adjusted = list[int](), list[int](), list[int]()
    notes: Counter[str] = Counter()
    rows: dict[str, list[int]] = {}
    for index in tracked(range(len(store)), "look at what examples teach"):
        found = task.supervision(store[index])
        supervised += found.count
        if found.count == 0:
            empty.append(index)
        if found.truncated:
            truncated.append(index)
        if found.adjusted:
            adjusted.append(index)
        for note, times in found.notes.items():
            notes[note] += times
            if times:
                rows.setdefault(note, []).append(index)
        if found.ends is not None:
            ends += 1
            ended += found.ends
    return Audit(
        examples=len(store),
        supervised=supervised,
        empty=len(empty),
        truncated=len(truncated),
        adjusted=len(adjusted),
        ends=ended if ends else None,
        empty_rows=_rows(store, empty),
        truncated_rows=_rows(store, truncated),
        adjusted_rows=_rows(store, adjusted),
        notes=dict(sorted(notes.items())),
        note_rows={note: _rows(store, found) for note, found in sorted(rows.items())},
    )


def _rows(store: Store, indices: list[int]) -> tuple[str, ...]:
    return tuple(store.where(index) for index in indices[:_SHOWN])


def _check(found: Audit, max_empty: float, max_truncated: float, max_adjusted: float) -> None:
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
    if found.adjusted > max_adjusted * found.examples:
        raise DataError(
            f"the answers of {found.adjusted:,} of {found.examples:,} rows had to be changed.",
            where=", ".join(found.adjusted_rows),
            expected=f"at most a share of {max_adjusted:g} (prepare.max_adjusted)",
            got="; ".join(f"{times:,} {note}" for note, times in found.notes.items() if times),
            fix="mend the annotations, or raise the bound; entities within words can be learned "
            "with task.units=characters.",
        )
    if found.ends == 0:
        raise DataError(
            f"none of {found.examples:,} rows supervises its end: the model would never stop.",
            fix="put the end token among the supervised positions.",
        )
