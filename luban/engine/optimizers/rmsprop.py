"""RMSprop: gradients over the root of their running mean square."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import nn

from luban.core.contracts import Optimizer
from luban.engine.optimizers._groups import groups


class Rmsprop(Optimizer):
    """``s = alpha * s + (1 - alpha) * g^2; p -= lr * g / (sqrt(s) + eps)`` (Hinton 2012)."""

    learning_rate: float = Field(default=0.001, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    alpha: float = Field(default=0.99, ge=0, lt=1)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    eps: float = Field(default=1e-8, gt=0)

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """Return ``torch.optim.RMSprop``."""
        return torch.optim.RMSprop(
            groups(parameters, self.learning_rate, self.weight_decay),
            alpha=self.alpha,
            momentum=self.momentum,
            eps=self.eps,
        )
