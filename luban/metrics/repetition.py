"""The share of a text that repeats what it said shortly before."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from luban.core.contracts import Metric, Statistics
from luban.metrics._units import units


class Repetition(Metric):
    """Share of n-grams that already occurred within the last ``window`` units of the text."""

    n: int = Field(default=4, ge=1, le=1_024)
    window: int = Field(default=128, ge=1, le=16_777_216)
    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (repeated n-grams, n-grams) of one text."""
        parts = units(prediction)
        last: dict[tuple[str, ...], int] = {}
        repeated = total = 0
        for i in range(len(parts) - self.n + 1):
            gram = tuple(parts[i : i + self.n])
            repeated += i - last.get(gram, -self.window - 1) <= self.window
            total += 1
            last[gram] = i
        return (float(repeated), float(total))

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return repeated n-grams over all n-grams."""
        return float(statistics[:, 0].sum() / max(1.0, statistics[:, 1].sum()))
