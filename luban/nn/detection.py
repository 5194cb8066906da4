"""A feature pyramid and the head that looks at every place of it.

Shapes: B images, C classes, D width, (H, W) a map, P places of all maps together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: How sure a fresh head is that any place shows any class (Lin et al. 2017, 1708.02002).
PRIOR = 0.01
# Pairs of a place and a box looked at at once: 8 MiB for each number kept of a pair.
_PAIRS = 1 << 21


class FeaturePyramid(nn.Module):
    """Maps of one width at several strides; coarse ones tell fine ones what they saw.

    (Lin et al. 2016, 1612.03144.) Maps coarser than the trunk's are made by further convolutions.
    """

    def __init__(self, widths: Sequence[int], width: int, extra: int = 0) -> None:
        """Make a pyramid.

        Args:
            widths: Of the trunk's maps, fine to coarse.
            width: Of the pyramid's maps.
            extra: How many coarser maps to add, each at twice the stride.
        """
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(one, width, 1) for one in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in widths)
        self.extra = nn.ModuleList(
            nn.Conv2d(width, width, 3, stride=2, padding=1) for _ in range(extra)
        )
        for layer in [*self.lateral, *self.smooth, *self.extra]:
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the pyramid of maps (B, widths[i], H_i, W_i): (B, D, H_i, W_i) each."""
        sides = [layer(x) for layer, x in zip(self.lateral, maps, strict=True)]
        for coarse in range(len(sides) - 1, 0, -1):
            fine = sides[coarse - 1]
            sides[coarse - 1] = fine + F.interpolate(sides[coarse], fine.shape[-2:])
        levels = [layer(x) for layer, x in zip(self.smooth, sides, strict=True)]
        for layer in self.extra:
            levels.append(layer(F.relu(levels[-1])))
        return levels


class DetectionHead(nn.Module):
    """Two towers of convolutions over every level: one for the class, one for the box.

    The convolutions are the same at every level; each level has its own batch norms, since their
    statistics differ (Lyu et al. 2022, 2212.07784), and its own scale of distances.
    """

    def __init__(self, width: int, depth: int, classes: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.towers = nn.ModuleList(_Tower(width, depth, len(strides)) for _ in range(2))
        self.classes = nn.Conv2d(width, classes, 3, padding=1)
        self.boxes = nn.Conv2d(width, 5, 3, padding=1)
        self.scales = nn.Parameter(torch.ones(len(strides)))
        for layer, bias in ((self.classes, -math.log(1 / PRIOR - 1)), (self.boxes, 0.0)):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return what every place says, (B, P, C + 5).

        In order: a logit for each class; the distances from the place to the left, top, right
        and bottom edge of its box, in pixels; a logit of how good the box is.
        """
        every = []
        for level, (x, stride) in enumerate(zip(levels, self.strides, strict=True)):
            seen = [tower(x, level) for tower in self.towers]
            classes, boxes = self.classes(seen[0]), self.boxes(seen[1])
            precise = torch.promote_types(boxes.dtype, torch.float32)
            boxes = boxes.to(precise)
            distances = stride * (boxes[:, :4] * self.scales[level]).clamp(max=8).exp()
            every.append(torch.cat([classes.to(precise), distances, boxes[:, 4:]], 1).flatten(2))
        return torch.cat(every, 2).transpose(1, 2)


class _Tower(nn.Module):
    def __init__(self, width: int, depth: int, levels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(depth)
        )
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(width) for _ in range(levels)) for _ in range(depth)
        )

    def forward(self, x: Tensor, level: int) -> Tensor:
        for convolution, norms in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norms[level](convolution(x)))  # type: ignore[index]
        return x


def places(size: tuple[int, int], strides: Sequence[int]) -> Tensor:
    """Return x, y and stride of every place, float32 (P, 3), in the order of the head's output.

    Args:
        size: Height and width of the images.
        strides: Of the levels; powers of two.
    """
    every = []
    for stride in strides:
        down, right = ((torch.arange(-(-side // stride)) + 0.5) * stride for side in size)
        y, x = torch.meshgrid(down, right, indexing="ij")
        every.append(torch.stack([x.flatten(), y.flatten(), torch.full((x.numel(),), stride)], 1))
    return torch.cat(every)


def boxes_at(distances: Tensor, where: Tensor) -> Tensor:
    """Return the boxes (..., P, 4) whose edges lie at these distances from places (P, 3)."""
    x, y = where[:, 0], where[:, 1]
    left, top, right, bottom = distances.unbind(-1)
    return torch.stack([x - left, y - top, x + right, y + bottom], -1)


def decoded(told: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Return the boxes (B, P, 4) and scores (B, P, C) of a head's output, at least float32.

    A score is the root of the chance of the class times that of the box being good.

    Args:
        told: What the head gives, (B, P, C + 5).
        where: x, y and stride of the places, (P, 3).
    """
    told = told.to(torch.promote_types(told.dtype, torch.float32))
    scores = (told[..., :-5].sigmoid() * told[..., -1:].sigmoid()).sqrt()
    return boxes_at(told[..., -5:-1], where.to(told)), scores


def assign(
    where: Tensor, boxes: Tensor, labels: Tensor, *, radius: float = 1.5, reach: float = 8.0
) -> Tensor:
    """Return the number of the box that every place is to find, int64 (B, P), -1 for none.

    A place answers for a box if it lies inside, at most ``radius`` strides from its centre, and
    its level is the one for boxes of that size: the farthest edge at most ``reach`` strides away
    and, but for the finest level, more than half of that; the coarsest takes all larger ones
    (Tian et al. 2019, 1904.01355). A box so small that no place lies in it gets the nearest one
    of the finest level. Of several boxes a place answers for the smallest.

    Args:
        where: x, y and stride of places, (P, 3).
        boxes: Shape (B, N, 4).
        labels: Shape (B, N), negative at padding.
        radius: In strides.
        reach: In strides.
    """
    shape = (len(boxes), len(where))
    best = boxes.new_full(shape, math.inf)
    number = torch.full(shape, -1, device=boxes.device)
    step = max(1, _PAIRS // max(1, best.numel()))
    for start in range(0, boxes.shape[1], step):
        some = slice(start, start + step)
        smallest, at = _sizes(where.to(boxes.dtype), boxes[:, some], labels[:, some], radius, reach)
        better = smallest < best
        best, number = smallest.where(better, best), (start + at).where(better, number)
    return number


def _sizes(
    where: Tensor, boxes: Tensor, labels: Tensor, radius: float, reach: float
) -> tuple[Tensor, Tensor]:
    """Return the area of the smallest box a place answers for (infinite: none), and its number."""
    x, y, stride = where.T[..., None]
    x1, y1, x2, y2 = boxes[:, None].unbind(-1)  # each (B, 1, N) beside (P, 1)
    edges = (x - x1, y - y1, x2 - x, y2 - y)
    nearest_edge, farthest = reduce(torch.minimum, edges), reduce(torch.maximum, edges)
    off = torch.maximum((x - (x1 + x2) / 2).abs(), (y - (y1 + y2) / 2).abs())
    low = torch.where(stride > stride.amin(), stride * reach / 2, 0)
    high = torch.where(stride < stride.amax(), stride * reach, math.inf)
    fits = (farthest > low) & (farthest <= high)
    real = (labels >= 0)[:, None]
    chosen = (nearest_edge > 0) & (off < radius * stride) & fits & real
    missed = real & ~chosen.any(1, keepdim=True)
    nearest = off.where(stride == stride.amin(), math.inf).argmin(1, keepdim=True)
    chosen = chosen.scatter(1, nearest, chosen.gather(1, nearest) | missed)
    smallest = ((x2 - x1) * (y2 - y1)).expand_as(chosen).where(chosen, math.inf).min(-1)
    return smallest.values, smallest.indices
