"""The peak learning rate, after a warmup."""

from __future__ import annotations

from luban.engine.schedules._warmup import WarmedUp


class Constant(WarmedUp):
    """A factor of 1 after the warmup."""

    def shape(self, step: int, progress: float, warmup: float) -> float:
        """Return 1."""
        return 1.0
