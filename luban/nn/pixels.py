"""What convolutional networks over images share.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luban.nn.activations import ACTIVATIONS

#: How channels are normalised: over the batch, or within each image, in groups of channels.
ChannelNorm: TypeAlias = Literal["batch", "group"]
GROUPS = 32


def channel_norm(kind: ChannelNorm, channels: int, eps: float = 1e-5) -> nn.Module:
    """Return the normalisation of channels over the places of a map.

    ``batch``: by mean and variance of the batch, in evaluation by their running averages (Ioffe
    and Szegedy 2015, 1502.03167). ``group``: by those of the example alone, in groups of channels
    (Wu and He 2018, 1803.08494), so that examples know nothing of each other: private training
    needs it. There are 32 groups, or the next smaller number that divides the channels.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels, eps)
    groups = next(n for n in range(min(GROUPS, channels), 0, -1) if channels % n == 0)
    return nn.GroupNorm(groups, channels, eps)


class ConvNorm(nn.Module):
    """act(norm(convolution(x))), with the names of Hugging Face's ``ResNetConvLayer``."""

    def __init__(  # noqa: PLR0913
        self,
        channels: int,
        outputs: int,
        kernel: int | tuple[int, int] = 3,
        *,
        stride: int = 1,
        padding: int | tuple[int, int] | None = None,
        act: str | None = "relu",
        norm: ChannelNorm = "batch",
        eps: float = 1e-5,
    ) -> None:
        """Make the layer.

        Args:
            channels: Of the input.
            outputs: Channels of the output.
            kernel: Its side, or height and width.
            stride: Step between places.
            padding: Zeros around the map (None: half the kernel, so that the size stays).
            act: Name of the activation (None: the identity).
            norm: How channels are normalised.
            eps: What the normalisation adds to the variance.
        """
        super().__init__()
        if padding is None:
            padding = kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)
        self.convolution = nn.Conv2d(channels, outputs, kernel, stride, padding, bias=False)
        self.normalization = channel_norm(norm, outputs, eps)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', H', W')."""
        x = self.normalization(self.convolution(x))
        return x if self.act is None else ACTIVATIONS[self.act](x)


def ordered(module: nn.Module, *, channels_last: bool) -> nn.Module:
    """Return the module with its filters in the order in memory that its inputs will have."""
    return module.to(memory_format=torch.channels_last) if channels_last else module  # type: ignore[call-overload]


def in_order(x: Tensor, *, channels_last: bool) -> Tensor:
    """Return (B, C, H, W) with its channels last in memory, or in the order of its axes."""
    kind = torch.channels_last if channels_last else torch.contiguous_format
    return x.contiguous(memory_format=kind)


def mean_of_places(x: Tensor) -> Tensor:
    """Return (B, C), the mean over height and width."""
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


@torch.no_grad()
def draw_filters(root: nn.Module) -> None:
    """Draw fresh weights: filters by what they put out, norms one and zero, linear by torch.

    He et al. 2015, 1502.01852, section 2.2: the variance is 2 over the weights of a filter times
    its outputs, so that gradients keep their size under relu.
    """
    for module in root.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear | nn.BatchNorm2d | nn.GroupNorm):
            module.reset_parameters()
