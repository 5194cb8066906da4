"""Rotary positions, in the "rotate half" convention of Hugging Face (Su et al. 2021, 2104.09864).

Shapes: B batch, T time, H heads, D head width, P positions in the table.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from luban.core.component import Settings


class Llama3Scaling(Settings):
    """Llama 3's stretch of the slow rotations; field names are those of ``config.json``."""

    rope_type: Literal["llama3"] = "llama3"
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = Field(default=8192, ge=1, le=16_777_216)

    def stretch(self, frequencies: Tensor) -> Tensor:
        """Return the frequencies (D/2,) with long wavelengths divided by ``factor``."""
        turns = self.original_max_position_embeddings * frequencies / (2 * math.pi)
        low, high = self.low_freq_factor, self.high_freq_factor
        keep = ((turns - low) / (high - low)).clamp(0, 1)
        return keep * frequencies + (1 - keep) * frequencies / self.factor


class Rotary(nn.Module):
    """Tables of cosines and signed sines for every position, made once and never saved.

    Args:
        head_dim: D, an even number.
        positions: P, how many positions there are.
        theta: Base of the wavelengths.
        scaling: How wavelengths are stretched, if they are.
    """

    cos_PD: Tensor
    sin_PD: Tensor

    def __init__(
        self,
        head_dim: int,
        positions: int,
        theta: float = 10_000.0,
        scaling: Llama3Scaling | None = None,
    ) -> None:
        super().__init__()
        self._head_dim, self._theta, self._scaling = head_dim, theta, scaling
        self.register_buffer("cos_PD", torch.empty(positions, head_dim), persistent=False)
        self.register_buffer("sin_PD", torch.empty(positions, head_dim), persistent=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Fill the tables (again, after ``to_empty`` from the meta device)."""
        half = torch.arange(0, self._head_dim, 2, device=self.cos_PD.device).float()
        frequencies = 1.0 / self._theta ** (half / self._head_dim)
        if self._scaling is not None:
            frequencies = self._scaling.stretch(frequencies)
        at = torch.arange(self.cos_PD.shape[0], device=self.cos_PD.device).float()
        angle = torch.outer(at, frequencies)
        self.cos_PD.copy_(torch.cat([angle.cos(), angle.cos()], -1))
        # rotate_half(x) * sin is roll(x, D/2) * (-sin, sin): one operation instead of three.
        self.sin_PD.copy_(torch.cat([-angle.sin(), angle.sin()], -1))

    def forward(self, length: int, positions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return cosines and signed sines, each (T, 1, D) or (B, T, 1, D).

        Args:
            length: T, for positions 0 to T - 1.
            positions: Other positions, (T,) or (B, T).
        """
        if positions is None:
            return self.cos_PD[:length, None], self.sin_PD[:length, None]
        return self.cos_PD[positions].unsqueeze(-2), self.sin_PD[positions].unsqueeze(-2)


def rotate(x_BTHD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return ``x`` turned by its positions; ``cos`` and ``sin`` come from ``Rotary``."""
    cos, sin = cos.to(x_BTHD.dtype), sin.to(x_BTHD.dtype)
    return x_BTHD * cos + x_BTHD.roll(x_BTHD.shape[-1] // 2, -1) * sin
