"""Fewer positions for the layers above: frames of sound halved by convolutions, or stacked.

Of T frames of an example ceil(T / stride) positions remain, whatever else is in its batch.
Shapes: B batch, T frames, S positions, M features, C channels, D width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvolutionSubsampling(nn.Module):
    """Convolutions over time and pitch that halve both, then a linear map (Gulati et al. 2020).

    What lies beyond the end of an example is zero before each of them, so that neither padding
    nor what the layer below makes of it reaches the example.

    Args:
        features: M.
        channels: C of each convolution.
        width: D.
        stride: Frames for one position: 1, 2, 4 or 8.
        dropout: Of what comes out.
    """

    def __init__(
        self, features: int, channels: int, width: int, stride: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        halvings = stride.bit_length() - 1
        sizes = [1, *[channels] * max(1, halvings)]
        steps = [(2, 2)] * halvings or [(1, 2)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(sizes[i], sizes[i + 1], 3, step, padding=1) for i, step in enumerate(steps)
        )
        for _ in steps:
            features = -(-features // 2)
        self.linear = nn.Linear(channels * features, width)
        self.steps, self.dropout = [step for step, _ in steps], dropout

    def forward(self, x_BTM: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return positions (B, S, D) and their mask (B, S).

        Args:
            x_BTM: Features, padded on the right.
            mask_BT: 0 at padding.
        """
        x_BCTM = x_BTM[:, None]
        for step, convolution in zip(self.steps, self.convolutions, strict=True):
            x_BCTM = F.relu(convolution(x_BCTM * mask_BT[:, None, :, None].to(x_BCTM.dtype)))
            mask_BT = mask_BT[:, ::step]
        x_BSD = self.linear(x_BCTM.transpose(1, 2).flatten(2))
        return F.dropout(x_BSD, self.dropout, self.training), mask_BT


class FrameStacking(nn.Module):
    """``stride`` frames after each other as one position, and a linear map (Sak et al. 2015).

    Source: 1507.06947, section 3.
    """

    def __init__(self, features: int, width: int, stride: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(features * stride, width)
        self.stride, self.dropout = stride, dropout

    def forward(self, x_BTM: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return positions (B, S, D) and their mask (B, S); as ``ConvolutionSubsampling``."""
        x_BTM = x_BTM * mask_BT[:, :, None].to(x_BTM.dtype)
        missing = -x_BTM.shape[1] % self.stride
        x_BTM = F.pad(x_BTM, (0, 0, 0, missing))
        x_BSD = self.linear(x_BTM.reshape(x_BTM.shape[0], -1, self.stride * x_BTM.shape[2]))
        return F.dropout(x_BSD, self.dropout, self.training), mask_BT[:, :: self.stride]
