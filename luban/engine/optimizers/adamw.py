"""AdamW: Adam with weight decay apart from the gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import nn

from luban.core.contracts import Optimizer
from luban.engine.optimizers._groups import fusable, groups


class Adamw(Optimizer):
    """Adam and ``p -= lr * weight_decay * p`` (Loshchilov and Hutter 2019, 1711.05101)."""

    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = Field(default=1e-8, gt=0)

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """Return ``torch.optim.AdamW``."""
        return torch.optim.AdamW(
            groups(parameters, self.learning_rate, self.weight_decay),
            betas=self.betas,
            eps=self.eps,
            fused=fusable(parameters),
        )
