"""The chance that what belongs to a class scores higher than what does not."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Statistics
from luban.metrics._classes import scores_of, truths
from luban.metrics._ranks import midranks


class Auroc(Metric):
    """Area under the receiver operating characteristic, each class against the rest.

    The macro average over classes that have examples on both sides; of two exclusive classes it
    is the binary value. From ranks, ties counted half (Mann and Whitney 1947).
    """

    classes: tuple[str, ...]
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return the score of each class, then whether each is true."""
        return (*scores_of(prediction, self.classes), *truths(target, self.classes))

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the mean area; 0.5, which is chance, where no class has two sides."""
        known = self._areas(statistics)
        return float(np.mean(known)) if known else 0.5

    def undefined(self, statistics: np.ndarray[Any, Any]) -> bool:
        """Return whether no class has examples on both sides."""
        return not self._areas(statistics)

    def _areas(self, statistics: np.ndarray[Any, Any]) -> list[float]:
        size = len(self.classes)
        areas = [_area(statistics[:, c], statistics[:, size + c]) for c in range(size)]
        return [area for area in areas if area is not None]


def _area(scores: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float | None:
    positives = float(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return None
    wins = float(midranks(scores)[truth > 0].sum()) - positives * (positives + 1) / 2
    return wins / (positives * negatives)
