"""A warmup, a plateau, and a decay at the end."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from luban.engine.schedules._warmup import WarmedUp


class WarmupStableDecay(WarmedUp):
    """Warmup, stable, decay (Hu et al. 2024, MiniCPM, 2404.06395).

    Attributes:
        decay_ratio: Share of the budget that the decay takes.
        decay_type: ``linear``, ``cosine``, or ``1-sqrt`` (1 - sqrt(q): Hägele et al. 2024,
            2405.18392), where q is the share of the decay that is done.
    """

    decay_ratio: float = Field(default=0.4, gt=0.0, le=1.0)
    decay_type: Literal["linear", "cosine", "1-sqrt"] = "linear"

    def shape(self, step: int, progress: float, warmup: float) -> float:
        """Return 1 on the plateau, then fall to 0 at the end of the budget."""
        start = max(1 - self.decay_ratio, warmup)
        done = max(0.0, (progress - start) / (1 - start))
        if self.decay_type == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        return 1 - (math.sqrt(done) if self.decay_type == "1-sqrt" else done)
