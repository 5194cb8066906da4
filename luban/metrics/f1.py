"""The harmonic mean of precision and recall."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from luban.core.contracts import Metric, Statistics
from luban.metrics._classes import counts, decisions
from luban.metrics._confusion import draw_confusion


class F1(Metric):
    """2 TP / (2 TP + FP + FN): of each class, then averaged, or of all counts together.

    ``macro`` is the mean over classes that occur among predictions or targets, ``micro`` counts
    every decision alike. Equal to scikit-learn's ``f1_score``.
    """

    average: Literal["macro", "micro"] = "macro"
    classes: tuple[str, ...]
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def label(self) -> str:
        """The name with the average: ``macro-f1``."""
        return f"{self.average}-{self.name}"

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return what was predicted and what is true, as numbers of ``classes``."""
        return decisions(prediction, target, self.classes)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return F1; 0 where no class occurs at all."""
        hits, extra, missed = counts(statistics, len(self.classes))
        if self.average == "micro":
            hits, extra, missed = (np.array([part.sum()]) for part in (hits, extra, missed))
        total = 2 * hits + extra + missed
        occurs = total > 0
        return float((2 * hits[occurs] / total[occurs]).mean()) if occurs.any() else 0.0

    def undefined(self, statistics: np.ndarray[Any, Any]) -> bool:
        """Return whether no class occurs among the targets."""
        hits, _, missed = counts(statistics, len(self.classes))
        return not (hits + missed).any()

    def plot(self, axes: Any, statistics: np.ndarray[Any, Any]) -> bool:
        """Draw the confusion matrix, which this is made of (once: for the average over classes)."""
        return self.average == "macro" and draw_confusion(axes, statistics, self.classes)
