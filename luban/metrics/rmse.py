"""How far predictions lie from true values."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Statistics
from luban.metrics._values import pair


class Rmse(Metric):
    """Root of the mean squared error, in the unit of the values themselves."""

    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (predicted, true)."""
        return pair(prediction, target)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the root."""
        return float(np.sqrt(((statistics[:, 0] - statistics[:, 1]) ** 2).mean()))
