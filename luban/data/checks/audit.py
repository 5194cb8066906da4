"""Does every stored example teach something? Asked before training, answered with rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from luban.core.contracts import Examples, Task
from luban.core.errors import DataError
from luban.core.progress import tracked
from luban.data.checks.reachable_score import Reach
from luban.data.store import Store

_SHOWN = 10


class Placed(Examples, Protocol):
    """Examples that tell where they came from."""

    def where(self, index: int) -> str:
        """Return where an example came from: ``file:row``."""
        ...


#: What was examined in this process: stores do not change.
_examined: dict[Path, Audit] = {}


@dataclass(frozen=True, slots=True)
class Audit:
    """What the examples of one split teach.

    Attributes:
        examples: How many there are.
        supervised: Positions that carry a loss, over all of them.
        truncated: Examples whose answer was cut off.
        adjusted: Examples whose answer was changed so that a prediction can give it.
        ends: Examples whose end is supervised (None: the notion does not apply to any).
        truncated_rows: Where the first ten truncated examples came from.
        adjusted_rows: Where the first ten examples with a changed answer came from.
        notes: What the task says of them, and how often.
        note_rows: Where the first ten examples came from of which it says so.
    """

    examples: int
    supervised: int
    truncated: int
    adjusted: int
    ends: int | None
    truncated_rows: tuple[str, ...]
    adjusted_rows: tuple[str, ...]
    notes: Mapping[str, int]
    note_rows: Mapping[str, tuple[str, ...]]


def audit(
    task: Task,
    store: Placed,
    *,
    max_truncated: float = 0.1,
    max_adjusted: float = 0.1,
) -> Audit:
    """Ask the task what each stored example teaches, and refuse data that teach too little.

    Args:
        task: The task that encoded the store.
        store: The examples of one split.
        max_truncated: Share of examples whose answer may be cut off.
        max_adjusted: Share of examples whose answer may have been changed.

    Raises:
        DataError: beyond a bound, or if no example at all supervises its end though the task
            has ends; it names the first ten rows.
    """
    found = examined(task, store)
    _check(found, max_truncated, max_adjusted)
    return found


def examined(task: Task, store: Placed) -> Audit:
    """Return what each example teaches; computed once for each store on disk."""
    if not isinstance(store, Store):
        return _examine(task, store)
    if store.folder not in _examined:
        _examined[store.folder] = _examine(task, store)
    return _examined[store.folder]


def _examine(task: Task, store: Placed) -> Audit:
    supervised, ends, ended = 0, 0, 0
    truncated, adjusted = list[int](), list[int]()
    notes: Counter[str] = Counter()
    rows: dict[str, list[int]] = {}
    for index in tracked(range(len(store)), "look at what examples teach"):
        found = task.target_summary(store[index])
        supervised += found.count
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
        truncated=len(truncated),
        adjusted=len(adjusted),
        ends=ended if ends else None,
        truncated_rows=_rows(store, truncated),
        adjusted_rows=_rows(store, adjusted),
        notes=dict(sorted(notes.items())),
        note_rows={note: _rows(store, found) for note, found in sorted(rows.items())},
    )


def doubts_of(
    split: str, found: Audit, reached: Reach | None, where: Callable[[int], str]
) -> list[str]:
    """Return what the user should know of a split.

    This is what the task notes, such as answers that were changed; answers that are cut; and a
    score out of reach.

    Args:
        split: Its name.
        found: What its examples teach.
        reached: How far predictions can get.
        where: Returns where an example came from.
    """
    acts = [(found.notes[note], note, rows) for note, rows in found.note_rows.items()]
    acts.append((found.truncated, "rows with an answer that is cut off", found.truncated_rows))
    lines = [f"{n:,} {act} (first in {', '.join(rows)})" for n, act, rows in acts if n]
    if reached is not None and reached.low:
        lines.append(reached.told(where))
    return [f"{split}: {line}." for line in lines]


def _rows(store: Placed, indices: list[int]) -> tuple[str, ...]:
    return tuple(store.where(index) for index in indices[:_SHOWN])


def _check(found: Audit, max_truncated: float, max_adjusted: float) -> None:
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
