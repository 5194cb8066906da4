"""One vector from many positions; padding never counts.

Shapes: B batch, T time, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def mean_over(x_BTD: Tensor, mask_BT: Tensor | None = None) -> Tensor:
    """Return the mean of the real positions, shape (B, D); zeros where there is none."""
    if mask_BT is None:
        return x_BTD.mean(1)
    kept = mask_BT.to(x_BTD.dtype)[:, :, None]
    return (x_BTD * kept).sum(1) / kept.sum(1).clamp(min=1)


def max_over(x_BTD: Tensor, mask_BT: Tensor | None = None) -> Tensor:
    """Return the largest value of each feature at the real positions, shape (B, D).

    Zeros where there is no real position.
    """
    if mask_BT is None:
        return x_BTD.amax(1)
    kept = mask_BT.bool()[:, :, None]
    lowest = torch.finfo(x_BTD.dtype).min
    return x_BTD.masked_fill(~kept, lowest).amax(1).masked_fill(~kept.any(1), 0)


class AttentionPooling(nn.Module):
    """sum_t a_t x_t with a = softmax(v' tanh(W x)) (Yang et al. 2016, NAACL)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.query = nn.Linear(width, 1, bias=False)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return the weighted mean of the real positions, shape (B, D)."""
        scores_BT1 = self.query(torch.tanh(self.dense(x_BTD)))
        if mask_BT is not None:
            lowest = torch.finfo(scores_BT1.dtype).min
            scores_BT1 = scores_BT1.masked_fill(~mask_BT.bool()[:, :, None], lowest)
        pooled: Tensor = (scores_BT1.softmax(1) * x_BTD).sum(1)
        return pooled
