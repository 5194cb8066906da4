"""Real-time factor: seconds of work for a second of sound."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from luban.core.contracts import Metric, Statistics


class RealTimeFactor(Metric):
    """Seconds that recognising takes over seconds heard; below 1 it keeps pace with a speaker.

    A clock never gives a number twice. So it is measured once, when training ends, and kept with
    the model: what is told here is that measurement, as a training's seconds are, and it has no
    interval.
    """

    factor: float = Field(default=0.0, ge=0, description="What was measured.")
    how: str = Field(default="", description="On how much, for the note.")
    higher_is_better: ClassVar[bool] = False
    sampled: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return the factor; a baseline, which has no score, does not listen."""
        return (self.factor if "score" in prediction else 0.0,)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the factor."""
        return float(statistics.mean())

    def note(self, statistics: np.ndarray[Any, Any]) -> str:
        """Return how it was measured."""
        return self.how
