"""Residual networks (He et al. 2015, 1512.03385), as far as the last map.

Shapes: B images, C channels, (H, W) an image or a map.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

_REDUCTION = 4  #: how much narrower the middle of a bottleneck is


@dataclass(frozen=True, slots=True)
class ResNetShape:
    """What decides the layers of a trunk; the names are Hugging Face's.

    Attributes:
        embedding_size: Channels of the stem.
        hidden_sizes: Channels of each stage.
        depths: Blocks of each stage.
        layer_type: Two convolutions of 3 x 3; or 1 x 1, 3 x 3 and 1 x 1, narrower in the middle.
        downsample_in_first_stage: Whether the first stage halves its map too.
        downsample_in_bottleneck: Whether the first 1 x 1 halves the map, not the 3 x 3.
    """

    embedding_size: int
    hidden_sizes: tuple[int, ...]
    depths: tuple[int, ...]
    layer_type: Literal["basic", "bottleneck"] = "basic"
    downsample_in_first_stage: bool = False
    downsample_in_bottleneck: bool = False

    @property
    def strides(self) -> tuple[int, ...]:
        """How many pixels of an image one place of each stage's map stands for."""
        first = 8 if self.downsample_in_first_stage else 4
        return tuple(first * 2**stage for stage in range(len(self.depths)))


class Convolution(nn.Module):
    """A convolution without bias, a batch norm, and a relu if there is to be one."""

    def __init__(
        self, inputs: int, outputs: int, size: int = 3, stride: int = 1, *, relu: bool = True
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = relu
        nn.init.kaiming_normal_(self.convolution.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the map, (B, C', H', W')."""
        x = self.norm(self.convolution(x))
        return F.relu(x) if self.relu else x


class ResNetStem(nn.Module):
    """7 x 7 at every second pixel, then the largest of 3 x 3 at every second place."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = Convolution(inputs, outputs, 7, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map a quarter as high and wide."""
        return F.max_pool2d(self.layer(x), 3, stride=2, padding=1)


class ResNetBlock(nn.Module):
    """relu(shortcut(x) + layers(x))."""

    def __init__(self, inputs: int, outputs: int, stride: int, shape: ResNetShape) -> None:
        super().__init__()
        if shape.layer_type == "basic":
            layers = [
                Convolution(inputs, outputs, stride=stride),
                Convolution(outputs, outputs, relu=False),
            ]
        else:
            narrow = outputs // _REDUCTION
            first, second = (stride, 1) if shape.downsample_in_bottleneck else (1, stride)
            layers = [
                Convolution(inputs, narrow, 1, first),
                Convolution(narrow, narrow, 3, second),
                Convolution(narrow, outputs, 1, relu=False),
            ]
        self.layers = nn.Sequential(*layers)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else Convolution(inputs, outputs, 1, stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map, (B, outputs, H / stride, W / stride)."""
        return F.relu(self.layers(x) + (x if self.shortcut is None else self.shortcut(x)))


def resnet_blocks(shape: ResNetShape) -> nn.ModuleList:
    """Return the blocks of all stages, first to last."""
    blocks = nn.ModuleList()
    inputs = shape.embedding_size
    for stage, (outputs, depth) in enumerate(zip(shape.hidden_sizes, shape.depths, strict=True)):
        halves = stage > 0 or shape.downsample_in_first_stage
        for number in range(depth):
            blocks.append(ResNetBlock(inputs, outputs, 2 if halves and not number else 1, shape))
            inputs = outputs
    return blocks


def stage_maps(x: Tensor, blocks: Iterable[nn.Module], depths: Sequence[int]) -> list[Tensor]:
    """Return the map after each stage.

    Args:
        x: What the stem gave.
        blocks: Of all stages.
        depths: Blocks of each stage.
    """
    ends = {sum(depths[: stage + 1]) for stage in range(len(depths))}
    maps = []
    for number, block in enumerate(blocks, 1):
        x = block(x)
        if number in ends:
            maps.append(x)
    return maps


def hf_trunk_name(name: str, depths: Sequence[int]) -> str:
    """Return what Hugging Face's ``ResNetModel`` calls a tensor of ``stem`` or ``blocks``."""
    name = re.sub(r"\bnorm\b", "normalization", name)
    if name.startswith("stem.layer."):
        return name.replace("stem.layer.", "embedder.embedder.", 1)
    _, number, rest = name.split(".", 2)
    stage, left = 0, int(number)
    while left >= depths[stage]:
        left -= depths[stage]
        stage += 1
    return f"encoder.stages.{stage}.layers.{left}.{rest.replace('layers.', 'layer.', 1)}"
