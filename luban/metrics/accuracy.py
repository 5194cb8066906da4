"""The share of examples that are right."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Statistics


class Accuracy(Metric):
    """Right predictions over all; of several labels all must be right (subset accuracy)."""

    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (1,) where the label, or the whole set of labels, is the target's."""
        if "labels" in target:
            return (float(set(prediction["labels"]) == set(target["labels"])),)
        return (float(prediction["label"] == target["label"]),)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the share of right ones."""
        return float(statistics[:, 0].mean())
