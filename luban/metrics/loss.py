"""Mean loss per predicted unit, in nats."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Statistics


class Loss(Metric):
    """Negative log-likelihood per token: sum of nats over number of tokens."""

    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    unit: ClassVar[str] = "nats/token"

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (nats, tokens) of one window."""
        return (float(prediction["nats"]), float(target["tokens"]))

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return total nats over total tokens."""
        return float(statistics[:, 0].sum() / statistics[:, 1].sum())
