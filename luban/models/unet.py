"""A U-Net that undoes noise: convolutions from fine to coarse and back, with short cuts.

Shapes: B images, C channels, H height, W width, D width of time and class, T places.
"""

from __future__ import annotations

from typing import Any, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from luban.core.contracts import Signature
from luban.core.sizes import MAX_PARTS, Width
from luban.models._diffusion import DiffusionModel
from luban.nn.attention import Attention
from luban.nn.diffusion import Condition
from luban.nn.shape import Shape


class Unet(DiffusionModel):
    """The network of Ho et al. 2020 (2006.11239), with the scale and shift of 2102.09672.

    With ``patch_size`` p, p x p pixels are read and written as one place of p * p channels
    (2301.11093): four times fewer places for p = 2, and not a pixel less.
    """

    block_out_channels: tuple[Width, ...] = Field(
        default=(64, 128),
        min_length=1,
        max_length=MAX_PARTS,
        description="Channels of each level, fine to coarse.",
    )
    layers_per_block: int = Field(
        default=2, ge=1, le=1_024, description="Residual blocks of each level."
    )
    patch_size: int = Field(
        default=1, ge=1, le=1_048_576, description="Pixels that are one place, each way."
    )
    attention_head_dim: int = Field(default=32, ge=1, le=1_048_576)
    norm_num_groups: int = Field(
        default=8, ge=1, le=1_048_576, description="Groups of a normalisation."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for channels in self.block_out_channels:
            if channels % self.norm_num_groups:
                raise ValueError("block_out_channels must be multiples of norm_num_groups")
        if self.block_out_channels[-1] % self.attention_head_dim:
            raise ValueError("the last of block_out_channels must hold attention_head_dim evenly")
        return self

    def network(self, signature: Signature) -> nn.Module:
        """Return the network with fresh weights.

        Raises:
            RecipeError: if the size of images cannot be halved so often.
        """
        self.check_size(signature, self.patch_size * 2 ** (len(self.block_out_channels) - 1))
        return UnetNetwork(self, signature.inputs, signature.outputs)


class UnetNetwork(nn.Module):
    """Levels of residual blocks; each block on the way back also reads one of the way there."""

    def __init__(self, options: Unet, channels: int, classes: int) -> None:
        super().__init__()
        widths, layers = options.block_out_channels, options.layers_per_block
        self.patch = options.patch_size
        pixels = channels * self.patch**2
        condition = 2 * widths[-1]
        self.condition = Condition(condition, classes)
        self.stem = nn.Conv2d(pixels, widths[0], 3, padding=1)

        def block(inputs: int, outputs: int) -> Residual:
            return Residual(inputs, outputs, condition, options.norm_num_groups, options.dropout)

        self.blocks = nn.ModuleList()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        width, kept = widths[0], []
        for level, wanted in enumerate(widths):
            if level:
                self.down.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
            for _ in range(layers):
                self.blocks.append(block(width, wanted))
                width = wanted
                kept.append(width)
        self.blocks.append(block(width, width))
        self.blocks.append(
            SelfAttention2d(width, options.attention_head_dim, options.norm_num_groups)
        )
        self.blocks.append(block(width, width))
        for level, wanted in reversed(list(enumerate(widths))):
            for _ in range(layers):
                self.blocks.append(block(width + kept.pop(), wanted))
                width = wanted
            if level:
                self.up.append(nn.Conv2d(width, width, 3, padding=1))
        self.norm = nn.GroupNorm(options.norm_num_groups, width)
        self.head = nn.Conv2d(width, pixels, 3, padding=1)
        self.layers = layers
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, time_B: Tensor, labels_B: Tensor) -> Tensor:
        """Return what the network is asked to predict, (B, C, H, W).

        Args:
            x: Noisy images, (B, C, H, W).
            time_B: How noisy they are, in [0, 1).
            labels_B: Class numbers; the number of classes is no class.
        """
        told = F.silu(self.condition(time_B, labels_B))
        x = F.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        blocks, kept = iter(self.blocks), []
        for level in range(len(self.down) + 1):
            if level:
                x = self.down[level - 1](x)
            for _ in range(self.layers):
                x = next(blocks)(x, told)
                kept.append(x)
        for _ in range(3):
            x = next(blocks)(x, told)
        for level in range(len(self.up) + 1):
            for _ in range(self.layers):
                x = next(blocks)(torch.cat([x, kept.pop()], 1), told)
            if level < len(self.up):
                x = self.up[level](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return F.pixel_shuffle(self.head(F.silu(self.norm(x))), self.patch)


class Residual(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))) (1 + scale) + shift)), told of time and class."""

    def __init__(
        self, inputs: int, outputs: int, condition: int, groups: int, dropout: float
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm1 = nn.GroupNorm(_groups(inputs, groups), inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.told = nn.Linear(condition, 2 * outputs)
        self.norm2 = nn.GroupNorm(groups, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)  # every block begins as what it is given
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, told_BD: Tensor) -> Tensor:
        """Return (B, outputs, H, W)."""
        y = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.told(told_BD)[:, :, None, None].chunk(2, 1)
        y = F.silu(self.norm2(y) * (1 + scale) + shift)
        y = self.conv2(F.dropout(y, self.dropout, self.training))
        found: Tensor = self.skip(x) + y
        return found


class SelfAttention2d(nn.Module):
    """Attention of every place to all places."""

    def __init__(self, width: int, head_dim: int, groups: int) -> None:
        super().__init__()
        heads = width // head_dim
        self.norm = nn.GroupNorm(groups, width)
        self.attention = Attention(
            Shape(
                hidden_size=width,
                num_attention_heads=heads,
                num_key_value_heads=heads,
                head_dim=head_dim,
                intermediate_size=width,
                hidden_act="silu",
                causal=False,
            )
        )

    def forward(self, x: Tensor, told_BD: Any) -> Tensor:
        """Return (B, C, H, W)."""
        x_BTC = self.norm(x).flatten(2).transpose(1, 2)
        y_BTC: Tensor = self.attention(x_BTC)
        return x + y_BTC.transpose(1, 2).reshape(x.shape)


def _groups(channels: int, most: int) -> int:
    """Return the largest number of groups up to ``most`` that divides the channels."""
    return next(groups for groups in range(most, 0, -1) if channels % groups == 0)
