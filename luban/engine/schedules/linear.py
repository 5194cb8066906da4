"""A straight line from the peak down to the end of the budget."""

from __future__ import annotations

from luban.engine.schedules._warmup import WarmedUp


class Linear(WarmedUp):
    """Linear decay: (1 - p) / (1 - w) at progress p after a warmup of share w."""

    def shape(self, step: int, progress: float, warmup: float) -> float:
        """Return what is left of the budget, as a share of what the warmup left."""
        return (1 - progress) / (1 - warmup)
