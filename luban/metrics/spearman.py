"""How far predictions put examples into the true order."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Statistics
from luban.metrics._ranks import midranks
from luban.metrics._values import correlation, pair


class Spearman(Metric):
    """Spearman's rank correlation, -1 to 1: Pearson's of the ranks, equal values sharing one."""

    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (predicted, true)."""
        return pair(prediction, target)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the correlation of ranks."""
        return correlation(np.column_stack([midranks(column) for column in statistics.T]))

    def undefined(self, statistics: np.ndarray[Any, Any]) -> bool:
        """Return whether all true values are the same."""
        return len(np.unique(statistics[:, 1])) < 2
