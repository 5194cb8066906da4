"""The share of hidden tokens that were guessed right."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Statistics


class MaskedAccuracy(Metric):
    """Hidden tokens whose likeliest guess is right, over all hidden ones, 0 to 1."""

    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (right, hidden) of one window."""
        return (float(prediction["correct"]), float(target["tokens"]))

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return all right ones over all hidden ones."""
        return float(statistics[:, 0].sum() / statistics[:, 1].sum())
