"""The share of n-grams in a text that are different from each other."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from luban.core.contracts import Metric, Statistics
from luban.metrics._units import units


class Distinct(Metric):
    """distinct-n (Li et al. 2016, arXiv:1510.03055): different n-grams over all n-grams.

    Units are words, and the characters of scripts without blanks.
    """

    n: int = Field(default=2, ge=1, le=1_024)
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def label(self) -> str:
        """The name with n: ``distinct-2``."""
        return f"{self.name}-{self.n}"

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (different n-grams, n-grams) of one text."""
        parts = units(prediction)
        grams = [tuple(parts[i : i + self.n]) for i in range(len(parts) - self.n + 1)]
        return (float(len(set(grams))), float(len(grams)))

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the mean share over texts; texts shorter than n do not count."""
        long = statistics[statistics[:, 1] > 0]
        return float((long[:, 0] / long[:, 1]).mean()) if len(long) else 0.0
