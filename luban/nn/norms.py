"""Normalisation over the last axis."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luban.nn.shape import Shape


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019, 1910.07467)."""

    def __init__(self, size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))

    def reset_parameters(self) -> None:
        """Set the weights to one."""
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` normalised, in its own type."""
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)

    def extra_repr(self) -> str:
        """Return what ``print(module)`` shows."""
        return f"{self.weight.shape[0]}, eps={self.eps}"


def make_norm(shape: Shape) -> nn.Module:
    """Return the normalisation a shape asks for.

    ``rms`` is above; ``layer`` is (x - mean) / sqrt(var + eps) * weight + bias (Ba et al. 2016,
    1607.06450).
    """
    if shape.norm == "rms":
        return RMSNorm(shape.hidden_size, shape.norm_eps)
    return nn.LayerNorm(shape.hidden_size, shape.norm_eps)
