"""Images as sequences: patches, and the places they come from.

Shapes: B batch, C channels, H height, W width, T patches, D model width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luban.core.errors import CapacityError


class PatchEmbeddings(nn.Module):
    """[class; E x_1; …; E x_T] + positions (Dosovitskiy et al. 2020, 2010.11929, equation 1)."""

    def __init__(self, channels: int, width: int, size: tuple[int, int], patch: int) -> None:
        super().__init__()
        self.size, self.patch = size, patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 1 + places(size, patch), width))
        self.projection = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the positions, shape (B, 1 + T, D), row by row.

        Raises:
            CapacityError: if the images have another size.
        """
        if tuple(pixels.shape[2:]) != self.size:
            raise CapacityError(
                "the images have another size than the model's positions.",
                expected="{} x {}".format(*self.size),
                got="{} x {}".format(*pixels.shape[2:]),
            )
        x_BTD = self.projection(pixels).flatten(2).transpose(1, 2)
        first = self.cls_token.expand(pixels.shape[0], -1, -1)
        return torch.cat((first, x_BTD), 1) + self.position_embeddings


def places(size: tuple[int, int], patch: int) -> int:
    """Return how many patches an image of (height, width) has."""
    return (size[0] // patch) * (size[1] // patch)


def moved_positions(table: Tensor, before: tuple[int, int], now: tuple[int, int]) -> Tensor:
    """Return position embeddings (1, 1 + T, D) for another grid of patches, bicubically.

    As Dosovitskiy et al. 2020 (section 3.2) do at higher resolutions; the class keeps its own.

    Args:
        table: Learned for ``before``.
        before: Rows and columns of patches there.
        now: Rows and columns wanted.
    """
    if before == now:
        return table
    grid = table[:, 1:].reshape(1, *before, -1).permute(0, 3, 1, 2)
    moved = F.interpolate(grid.float(), size=now, mode="bicubic", align_corners=False)
    return torch.cat((table[:, :1], moved.flatten(2).mT.to(table.dtype)), 1)
