"""Mean loss per example, in whatever unit the model gives it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Row


class MeanLoss(Metric):
    """What training lowers, for models that give the loss themselves; ``loss`` in reports."""

    higher_is_better: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The name in reports: the one that training logs too."""
        return "loss"

    def row(self, prediction: Any, target: Any) -> Row:
        """Return (loss,) of one example."""
        return (float(prediction["loss"]),)

    def reduce(self, rows: np.ndarray[Any, Any]) -> float:
        """Return the mean."""
        return float(rows[:, 0].mean())
