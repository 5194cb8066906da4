"""Adagrad: every weight's rate falls with the squared gradients it has seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import nn

from luban.core.contracts import Optimizer
from luban.engine.optimizers._groups import fusable, groups


class Adagrad(Optimizer):
    """``s += g^2; p -= lr * g / (sqrt(s) + eps)`` (Duchi et al. 2011, JMLR 12)."""

    learning_rate: float = Field(default=0.01, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    eps: float = Field(default=1e-10, gt=0)

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """Return ``torch.optim.Adagrad``."""
        return torch.optim.Adagrad(
            groups(parameters, self.learning_rate, self.weight_decay),
            eps=self.eps,
            fused=fusable(parameters),
        )
