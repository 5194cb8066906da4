"""The exponential of the mean loss per token."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Statistics


class Perplexity(Metric):
    """exp(nats per token); comparable only between models that share a tokenizer."""

    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (1.0, math.inf)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (nats, tokens) of one window."""
        return (float(prediction["nats"]), float(target["tokens"]))

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the exponential of total nats over total tokens."""
        return math.exp(min(float(statistics[:, 0].sum() / statistics[:, 1].sum()), 700.0))
