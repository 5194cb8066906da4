"""One over the square root of the step: needs no end to be known."""

from __future__ import annotations

import math

from pydantic import Field

from luban.engine.schedules._warmup import WarmedUp


class InverseSquareRoot(WarmedUp):
    """Inverse square root decay (Vaswani et al. 2017, 1706.03762, scaled to a peak of 1).

    Attributes:
        timescale: Steps until the first halving of the square, counted so that the factor is 1
            at the end of the warmup; 0 takes the warmup's length, or 10,000 without one.
    """

    timescale: int = Field(default=0, ge=0, le=1_000_000_000_000)

    def shape(self, step: int, progress: float, warmup: float) -> float:
        """Return sqrt(t / (t + s)), s steps after the warmup, with timescale t."""
        warmup_steps = warmup * step / progress if progress else 0.0
        timescale = self.timescale or warmup_steps or 10_000
        return math.sqrt(timescale / (timescale + step - warmup_steps))
