"""How far confidence is from being right that often."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from luban.core.contracts import Metric, Statistics
from luban.metrics._classes import scores_of, truths


class CalibrationError(Metric):
    """Expected calibration error (Guo et al. 2017, 1706.04599, equation 3), 0 to 1.

    The gap between mean confidence and share of right ones in bins of equal width, weighted by
    their size. Confidence is the score of the predicted label; of several labels each score
    counts, beside whether the label is true.
    """

    bins: int = Field(default=15, ge=1, le=16_777_216)
    classes: tuple[str, ...] = Field(default=(), description="Needed for several labels only.")
    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return confidences, then whether each was right."""
        if "labels" in target:
            return (*scores_of(prediction, self.classes), *truths(target, self.classes))
        right = prediction["label"] == target["label"]
        return float(prediction.get("score", 1.0)), float(right)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the weighted mean gap."""
        confidence, right = (half.ravel() for half in np.hsplit(statistics, 2))
        # Bins are open on the left, as in the paper; 0 belongs to the first one.
        place = np.clip(np.ceil(confidence * self.bins) - 1, 0, self.bins - 1).astype(np.intp)
        gaps = np.bincount(place, weights=confidence - right, minlength=self.bins)
        return float(np.abs(gaps).sum() / len(confidence))
