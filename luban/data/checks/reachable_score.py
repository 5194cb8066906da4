"""The score that no model can pass: the labels as they were encoded, scored as predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from luban.core.contracts import Examples, Metric, Task

Array: TypeAlias = "np.ndarray[Any, Any]"

#: Examples that are scored, drawn by chance: enough to see a share of a hundredth.
SAMPLE = 1000
#: Relative to the best value: what is below is worth a warning.
ENOUGH = 0.99

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Reach:
    """How well the best predictions that a task can make would score.

    Attributes:
        metric: Label of the metric, the one that leads.
        unit: Its unit.
        value: The score.
        best: That of perfect predictions.
        examples: How many were scored.
        short: Indices of the first examples that no prediction can get right.
    """

    metric: str
    unit: str
    value: float
    best: float
    examples: int
    short: tuple[int, ...]

    @property
    def low(self) -> bool:
        """Whether it is worth a warning."""
        return not _reached(self.value, self.best)

    def told(self, where: Callable[[int], str]) -> str:
        """Return the warning; ``where`` returns where an example came from."""
        rows = ", ".join(where(index) for index in self.short) or "none alone"
        return (
            f"no prediction can reach more than {self.value:.4g} {self.metric} (perfect: "
            f"{self.best:g}), since encoding lost parts of answers: in {rows}, the first of "
            f"{self.examples:,} examples looked at"
        )


def reach(task: Task, store: Examples, seed: int) -> Reach | None:
    """Return how far predictions can get on the examples of a split.

    The metric is the leading one, or the first that has a best value and something to find.

    Args:
        task: The task that encoded them.
        store: The examples.
        seed: What draws those that are looked at, where there are more than ``SAMPLE``.

    Returns:
        None where the task has no best prediction, or there is no such metric.
    """
    every = np.arange(len(store))
    if len(every) > SAMPLE:
        every = np.sort(np.random.default_rng(seed).choice(every, SAMPLE, replace=False))
    pairs = [
        (task.reachable(one), task.target(one)) for one in map(store.__getitem__, every.tolist())
    ]
    if any(said is None for said, _ in pairs):
        return None
    for metric in task.metrics():
        rows = np.array([metric.statistics(*pair) for pair in pairs], np.float64)
        if np.isfinite(metric.best) and not metric.undefined(rows):
            near = [_near(metric, row[np.newaxis]) for row in rows]
            short = [index for index, it in zip(every.tolist(), near, strict=True) if not it]
            value = metric.compute(rows)
            return Reach(
                metric.label, metric.unit, value, metric.best, len(rows), tuple(short[:_SHOWN])
            )
    return None


def _near(metric: Metric, rows: Array) -> bool:
    return metric.undefined(rows) or _reached(metric.compute(rows), metric.best)


def _reached(value: float, best: float) -> bool:
    """Whether a value is near enough to the best one; an error rate of 0.01 is as well."""
    return abs(value - best) <= (1 - ENOUGH) * max(abs(best), float(best == 0)) + 1e-9
