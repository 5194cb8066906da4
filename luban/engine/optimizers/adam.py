"""Adam, with weight decay inside the gradient as in the paper; see ``adamw``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import nn

from luban.core.contracts import Optimizer
from luban.engine.optimizers._groups import fusable, groups


class Adam(Optimizer):
    """Bias-corrected first over root of second moment (Kingma and Ba 2015, 1412.6980)."""

    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """Return ``torch.optim.Adam``."""
        return torch.optim.Adam(
            groups(parameters, self.learning_rate, self.weight_decay),
            betas=self.betas,
            eps=self.eps,
            fused=fusable(parameters),
        )
