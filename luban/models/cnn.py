"""A small convolutional network that learns fast on a CPU."""

from __future__ import annotations

from typing import Literal, Self

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from luban.core.contracts import Signature
from luban.core.errors import RecipeError
from luban.core.sizes import MAX_PARTS, Depth, Width
from luban.models._images import ImageModel, too_small
from luban.nn.activations import Activation
from luban.nn.pixels import (
    ChannelNorm,
    ConvNorm,
    draw_filters,
    in_order,
    ordered,
)


class CNN(ImageModel):
    """For images of some 28 to 64 pixels: few layers, early halvings, a residual at each size.

    In the manner of Page's ResNet-9 (2018, *How to Train Your ResNet*) and airbench (Jordan
    2024, 2404.00498), with every halving by a stride where they take a maximum: a quarter of the
    products, and the accuracy that is lost is bought back with more epochs.
    """

    embedding_size: int = Field(
        default=32, ge=1, le=1_048_576, description="Channels of the first layer."
    )
    hidden_sizes: tuple[Width, ...] = Field(
        default=(64, 128, 256),
        max_length=MAX_PARTS,
        description="Channels after each halving of height and width.",
    )
    depths: tuple[Depth, ...] | None = Field(
        default=None, description="Convolutions in the residual of each size (None: one)."
    )
    downsample: Literal["stride", "max"] = Field(
        default="stride",
        description=(
            "Halve by a convolution of stride 2, or by the maximum of every four places: four "
            "times the work of that layer, and better for as many epochs."
        ),
    )
    hidden_act: Activation = "relu"
    norm: ChannelNorm = Field(
        default="batch", description="`group` where examples must not see each other."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Before the head.")
    logit_scale: float = Field(
        default=0.125,
        gt=0,
        description=(
            "What logits are multiplied by. Without it a rate that suits the filters is far too "
            "high for the head, which sees large values."
        ),
    )
    channels_last: bool = Field(default=True, description="How maps lie in memory.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.hidden_sizes:
            raise ValueError("hidden_sizes needs at least one size")
        if self.depths is not None and len(self.depths) != len(self.hidden_sizes):
            raise ValueError("depths needs as many numbers as hidden_sizes")
        return self

    def build(self, signature: Signature) -> SmallNetwork:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the model cannot take what the task gives.
        """
        self.check(signature)
        return SmallNetwork(self, signature)

    def refusal(self, signature: Signature) -> RecipeError | None:
        """Return why images of this size cannot be read; None: they can."""
        halvings = len(self.hidden_sizes)
        return too_small(signature, 2**halvings, f"they are halved {halvings} times")


class SmallNetwork(nn.Module):
    """Shapes: B batch, C channels, H height, W width."""

    def __init__(self, config: CNN, signature: Signature) -> None:
        super().__init__()
        width = config.embedding_size
        self.stem = ConvNorm(signature.inputs, width, act=config.hidden_act, norm=config.norm)
        self.blocks = nn.ModuleList()
        depths = config.depths or (1,) * len(config.hidden_sizes)
        for outputs, depth in zip(config.hidden_sizes, depths, strict=True):
            self.blocks.append(Stage(config, width, outputs, depth))
            width = outputs
        self.head = nn.Linear(width, signature.outputs)
        self.dropout, self.channels_last = config.dropout, config.channels_last
        self.logit_scale = config.logit_scale
        draw_filters(self)
        ordered(self, channels_last=config.channels_last)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return logits (B, outputs) of images (B, C, H, W): of the largest value of each map."""
        x = self.features(pixel_values).amax((2, 3))
        logits: Tensor = self.head(F.dropout(x, self.dropout, self.training))
        return logits * self.logit_scale

    def features(self, pixel_values: Tensor) -> Tensor:
        """Return the last maps, (B, C', H', W')."""
        x: Tensor = self.stem(in_order(pixel_values, channels_last=self.channels_last))
        for block in self.blocks:
            x = block(x)
        return x


class Stage(nn.Module):
    """A convolution that halves height and width, then x + f(x) with f some more of them."""

    def __init__(self, config: CNN, channels: int, outputs: int, depth: int) -> None:
        super().__init__()
        act, norm = config.hidden_act, config.norm
        self.maximum = config.downsample == "max"
        stride = 1 if self.maximum else 2
        self.halve = ConvNorm(channels, outputs, stride=stride, act=act, norm=norm)
        self.residual = nn.Sequential(
            *(ConvNorm(outputs, outputs, act=act, norm=norm) for _ in range(depth))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', H/2, W/2)."""
        x = self.halve(x)
        if self.maximum:
            x = F.max_pool2d(x, 2)
        return x + self.residual(x) if len(self.residual) else x
