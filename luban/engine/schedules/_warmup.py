"""What every schedule shares: a linear warmup before, and a floor below."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

from pydantic import Field, model_validator

from luban.core.contracts import Schedule


class WarmedUp(Schedule):
    """A linear rise to the peak, then a shape that a subclass gives.

    The share of the budget that the warmup takes is ``warmup_ratio`` or, for ``warmup_steps``,
    ``warmup_steps * progress / step``: exact for a budget in steps, and the pace so far for a
    budget in tokens or minutes.

    Attributes:
        warmup_steps: Steps of the rise; step s (from 0) has (s + 1) / warmup_steps of the peak.
        warmup_ratio: The rise as a share of the budget instead.
        min_lr_rate: The smallest share of the peak after the warmup.
    """

    warmup_steps: int = Field(default=0, ge=0, le=1_000_000_000_000)
    warmup_ratio: float = Field(default=0.0, ge=0.0, lt=1.0)
    min_lr_rate: float = Field(default=0.0, ge=0.0, le=1.0)

    def factor(self, step: int, progress: float) -> float:
        """Return the factor: ``min + (1 - min) * shape`` after the warmup."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if progress < self.warmup_ratio:
            return progress / self.warmup_ratio
        warmup = self.warmup_ratio or (self.warmup_steps * progress / step if step else 0.0)
        shape = self.shape(step, progress, warmup)
        return self.min_lr_rate + (1 - self.min_lr_rate) * shape

    @abstractmethod
    def shape(self, step: int, progress: float, warmup: float) -> float:
        """Return the share of the peak, in [0, 1], where ``warmup`` <= ``progress`` < 1."""

    @model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if self.warmup_steps and self.warmup_ratio:
            raise ValueError("set warmup_steps or warmup_ratio, not both")
        return self
