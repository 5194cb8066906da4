"""Mean loss per example, in whatever unit the model gives it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Statistics


class MeanLoss(Metric):
    """What training lowers, for models that give the loss themselves; ``loss`` in reports."""

    higher_is_better: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The name in reports: the one that training logs too."""
        return "loss"

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (loss,) of one example."""
        return (float(prediction["loss"]),)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the mean."""
        return float(statistics[:, 0].mean())
