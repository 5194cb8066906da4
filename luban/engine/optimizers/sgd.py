"""Stochastic gradient descent, with momentum and Nesterov's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import nn

from luban.core.contracts import Optimizer
from luban.engine.optimizers._groups import fusable, groups


class Sgd(Optimizer):
    """``v = momentum * v + g; p -= lr * v`` (with Nesterov: ``p -= lr * (g + momentum * v)``)."""

    learning_rate: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """Return ``torch.optim.SGD``."""
        return torch.optim.SGD(
            groups(parameters, self.learning_rate, self.weight_decay),
            momentum=self.momentum,
            nesterov=self.nesterov,
            fused=fusable(parameters),
        )

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs momentum > 0")
        return self
