"""Mean loss per predicted unit, in nats."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Row


class Loss(Metric):
    """Negative log-likelihood per token: sum of nats over number of tokens."""

    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    unit: ClassVar[str] = "nats/token"

    def row(self, prediction: Any, target: Any) -> Row:
        """Return (nats, tokens) of one window."""
        return (float(prediction["nats"]), float(target["tokens"]))

    def reduce(self, rows: np.ndarray[Any, Any]) -> float:
        """Return total nats over total tokens."""
        return float(rows[:, 0].sum() / rows[:, 1].sum())
