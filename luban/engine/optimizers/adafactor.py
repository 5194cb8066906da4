"""Adafactor: second moments kept as one row and one column per matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import nn

from luban.core.contracts import Optimizer
from luban.engine.optimizers._groups import groups


class Adafactor(Optimizer):
    """Factored second moments, update clipping, relative step (Shazeer and Stern 2018, 1804.04235).

    Attributes:
        beta2_decay: The decay of the second moment at step t is ``1 - t ** beta2_decay``.
        clip_threshold: Largest root mean square of an update (``d`` in the paper).
        eps: The smallest parameter scale that the relative step sees.
    """

    learning_rate: float = Field(default=0.01, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    beta2_decay: float = Field(default=-0.8, le=0)
    clip_threshold: float = Field(default=1.0, ge=1)
    eps: float = Field(default=1e-3, gt=0)

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """Return ``torch.optim.Adafactor``."""
        return torch.optim.Adafactor(
            groups(parameters, self.learning_rate, self.weight_decay),
            beta2_decay=self.beta2_decay,
            d=self.clip_threshold,
            eps=(None, self.eps),
        )
