"""Half a cosine from the peak down to the end of the budget."""

from __future__ import annotations

import math

from luban.engine.schedules._warmup import WarmedUp


class Cosine(WarmedUp):
    """Cosine decay (Loshchilov and Hutter 2017, 1608.03983, without restarts)."""

    def shape(self, step: int, progress: float, warmup: float) -> float:
        """Return (1 + cos(pi q)) / 2, where q is the share of the decay that is done."""
        return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
