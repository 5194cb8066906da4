"""How often the sort is right."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Statistics


class ShareRight(Metric):
    """Right predictions over all predictions."""

    higher_is_better: ClassVar[bool] = True

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return 1 for a right prediction."""
        return (float(prediction == target),)

    def compute(self, rows: np.ndarray[Any, Any]) -> float:
        """Return the mean."""
        return float(rows.mean())
