"""A Transformer that undoes noise.

Shapes: B images, C channels, H height, W width, T patches, D model width.
"""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from luban.core.contracts import Signature
from luban.models._diffusion import DiffusionModel
from luban.nn.attention import Attention
from luban.nn.diffusion import Condition
from luban.nn.mlp import MLP
from luban.nn.shape import Shape


class Dit(DiffusionModel):
    """DiT with adaLN-Zero (Peebles and Xie 2022, 2212.09748): patches are tokens.

    Time and class give each block a scale, a shift and a gate for its attention and for its MLP;
    all gates begin at zero, so that every block begins as what it is given.
    """

    hidden_size: int = Field(default=128, ge=4, le=1_048_576)
    num_hidden_layers: int = Field(default=6, ge=1, le=1_024)
    num_attention_heads: int = Field(default=4, ge=1, le=1_048_576)
    intermediate_size: int | None = Field(
        default=None, ge=1, le=1_048_576, description="None: 4 hidden_size."
    )
    patch_size: int = Field(
        default=4, ge=1, le=1_048_576, description="Pixels of a patch, each way."
    )
    qk_norm: bool = Field(default=False, description="Normalise queries and keys by head.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.hidden_size % self.num_attention_heads or self.hidden_size % 4:
            raise ValueError("hidden_size must be a multiple of 4 and of num_attention_heads")
        return self

    def network(self, signature: Signature) -> nn.Module:
        """Return the network with fresh weights.

        Raises:
            RecipeError: if images of this size cannot be cut into patches.
        """
        self.check_size(signature, self.patch_size)
        shape = Shape(
            hidden_size=self.hidden_size,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_attention_heads,
            head_dim=self.hidden_size // self.num_attention_heads,
            intermediate_size=self.intermediate_size or 4 * self.hidden_size,
            hidden_act="gelu_pytorch_tanh",
            causal=False,
            qk_norm=self.qk_norm,
            attention_bias=True,
            mlp_bias=True,
        )
        grid = (signature.size[0] // self.patch_size, signature.size[1] // self.patch_size)
        return DitNetwork(
            shape,
            self.num_hidden_layers,
            self.patch_size,
            grid,
            signature.inputs,
            signature.outputs,
        )


class DitNetwork(nn.Module):
    """Patches, blocks told of time and class, and pixels again."""

    places: Tensor

    def __init__(  # noqa: PLR0913
        self,
        shape: Shape,
        layers: int,
        patch: int,
        grid: tuple[int, int],
        channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        width = shape.hidden_size
        self.patch, self.grid = patch, grid
        self.condition = Condition(width, classes)
        self.stem = nn.Linear(channels * patch**2, width)
        self.register_buffer("places", sine_places(grid, width), persistent=False)
        self.blocks = nn.ModuleList(AdaptiveBlock(shape) for _ in range(layers))
        self.told = nn.Linear(width, 2 * width)
        self.head = nn.Linear(width, channels * patch**2)
        for linear in (self.told, self.head):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, time_B: Tensor, labels_B: Tensor) -> Tensor:
        """Return what the network is asked to predict, (B, C, H, W).

        Args:
            x: Noisy images, (B, C, H, W).
            time_B: How noisy they are, in [0, 1).
            labels_B: Class numbers; the number of classes is no class.
        """
        told_BD = F.silu(self.condition(time_B, labels_B))
        patches_BTP = F.pixel_unshuffle(x, self.patch).flatten(2).transpose(1, 2)
        x_BTD = self.stem(patches_BTP) + self.places.to(x.dtype)
        for block in self.blocks:
            x_BTD = block(x_BTD, told_BD)
        scale, shift = self.told(told_BD)[:, None].chunk(2, 2)
        pixels_BPT = self.head(modulate(x_BTD, scale, shift)).transpose(1, 2)
        return F.pixel_shuffle(pixels_BPT.unflatten(2, self.grid), self.patch)


class AdaptiveBlock(nn.Module):
    """Attention and MLP, each normalised, scaled and shifted before and gated after."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.hidden_size
        self.self_attn, self.mlp = Attention(shape), MLP(shape)
        self.told = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)

    def forward(self, x_BTD: Tensor, told_BD: Tensor) -> Tensor:
        """Return (B, T, D).

        Args:
            x_BTD: The patches.
            told_BD: Time and class.
        """
        told: tuple[Tensor, ...] = self.told(told_BD)[:, None].chunk(6, 2)
        looked_BTD: Tensor = self.self_attn(modulate(x_BTD, told[0], told[1]))
        x_BTD = x_BTD + told[2] * looked_BTD
        y_BTD: Tensor = self.mlp(modulate(x_BTD, told[3], told[4]))
        x_BTD = x_BTD + told[5] * y_BTD
        return x_BTD


def modulate(x_BTD: Tensor, scale_B1D: Tensor, shift_B1D: Tensor) -> Tensor:
    """Return norm(x) (1 + scale) + shift, the norm without weights of its own."""
    return F.layer_norm(x_BTD, x_BTD.shape[-1:], eps=1e-6) * (1 + scale_B1D) + shift_B1D


def sine_places(grid: tuple[int, int], width: int) -> Tensor:
    """Return sines and cosines of row and column, half of the width each, (T, D)."""
    rate = 10_000 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in grid), indexing="ij")
    angles = [at.reshape(-1, 1) * rate for at in (rows, columns)]
    return torch.cat([part for a in angles for part in (a.sin(), a.cos())], 1).float()
