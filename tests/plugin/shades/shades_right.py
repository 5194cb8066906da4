"""How often the shade is right, and a picture of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from luban.core.contracts import Metric, Statistics


class ShadesRight(Metric):
    """Right labels over all labels."""

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return 1 for a right label."""
        return (float(prediction["label"] == target["label"]),)

    def compute(self, rows: np.ndarray[Any, Any]) -> float:
        """Return the mean."""
        return float(rows.mean())

    def plot(self, axes: Any, rows: np.ndarray[Any, Any]) -> bool:
        """Draw how many are right and wrong."""
        axes.bar(["right", "wrong"], [rows.sum(), len(rows) - rows.sum()])
        return True
