"""The layers of residual networks (He et al. 2015, 1512.03385).

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple, TypeAlias

from torch import Tensor, nn

from luban.nn.activations import ACTIVATIONS
from luban.nn.pixels import ChannelNorm, ConvNorm

Layer: TypeAlias = Literal["basic", "bottleneck"]


class Plan(NamedTuple):
    """What one stage is made of: its layers, their channels, and the stride of the first."""

    layers: int
    channels: int
    stride: int


class Kind(NamedTuple):
    """What all layers have in common.

    Attributes:
        layer: Two convolutions of 3 x 3, or 1 x 1, 3 x 3 and 1 x 1.
        act: Activation of the sum.
        norm: How channels are normalised.
        early: Whether the first convolution of a bottleneck halves, not the middle one.
    """

    layer: Layer = "basic"
    act: str = "relu"
    norm: ChannelNorm = "batch"
    early: bool = False


class ResidualLayer(nn.Module):
    """act(x + f(x)), f being two convolutions, or three with few channels between them.

    Where shape or size change, x goes through a convolution of 1 x 1.
    """

    def __init__(self, kind: Kind, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        norm, self.act = kind.norm, kind.act

        def part(channels: int, outputs: int, kernel: int, stride: int = 1) -> ConvNorm:
            return ConvNorm(channels, outputs, kernel, stride=stride, norm=norm)

        self.shortcut: nn.Module = nn.Identity()
        if channels != outputs or stride != 1:
            self.shortcut = ConvNorm(channels, outputs, 1, stride=stride, act=None, norm=norm)
        if kind.layer == "bottleneck":
            narrow = outputs // 4
            strides = (stride, 1) if kind.early else (1, stride)
            parts = [part(channels, narrow, 1, strides[0]), part(narrow, narrow, 3, strides[1])]
            last = ConvNorm(narrow, outputs, 1, act=None, norm=norm)
        else:
            parts = [part(channels, outputs, 3, stride)]
            last = ConvNorm(outputs, outputs, 3, act=None, norm=norm)
        self.layer = nn.Sequential(*parts, last)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', H', W')."""
        y: Tensor = self.layer(x)
        return ACTIVATIONS[self.act](y + self.shortcut(x))


def residual_layers(kind: Kind, channels: int, stages: Iterable[Plan]) -> nn.ModuleList:
    """Return the layers of all stages, first to last.

    Args:
        kind: What they have in common.
        channels: Of the map that the first one takes.
        stages: What each stage is made of.
    """
    layers = nn.ModuleList()
    for plan in stages:
        for number in range(plan.layers):
            stride = plan.stride if number == 0 else 1
            layers.append(ResidualLayer(kind, channels, plan.channels, stride))
            channels = plan.channels
    return layers


def stage_maps(x: Tensor, layers: Iterable[nn.Module], depths: Sequence[int]) -> list[Tensor]:
    """Return the map after each stage.

    Args:
        x: What the stem gave.
        layers: Of all stages.
        depths: Layers of each stage.
    """
    ends = set(accumulate(depths))
    maps = []
    for number, layer in enumerate(layers, 1):
        x = layer(x)
        if number in ends:
            maps.append(x)
    return maps


def start_as_identity(layers: Iterable[nn.Module]) -> None:
    """Let every layer begin as its shortcut (Goyal et al. 2017, 1706.02677)."""
    for layer in layers:
        nn.init.zeros_(layer.layer[-1].normalization.weight)  # type: ignore[union-attr, index]
