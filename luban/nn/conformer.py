"""Conformer blocks: attention for what is far, convolution for what is near.

Shapes: B batch, S positions, D width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from luban.nn.attention import Attention
from luban.nn.mlp import MLP
from luban.nn.norms import make_norm
from luban.nn.shape import Shape


class ConformerBlock(nn.Module):
    """Half a feed-forward network, attention, convolution, the other half (Gulati et al. 2020).

    Source: 2005.08100, section 2.4: each part adds to what it was given, normalised before it,
    and the sum is normalised at the end.

    Args:
        shape: Of attention and feed-forward networks; not gated.
        kernel: Positions that the convolution sees, an odd number.
    """

    def __init__(self, shape: Shape, kernel: int) -> None:
        super().__init__()
        self.first_layernorm = make_norm(shape)
        self.first_mlp = MLP(shape)
        self.input_layernorm = make_norm(shape)
        self.self_attn = Attention(shape)
        self.convolution_layernorm = make_norm(shape)
        self.convolution = ConvolutionModule(shape, kernel)
        self.post_attention_layernorm = make_norm(shape)
        self.mlp = MLP(shape)
        self.final_layernorm = make_norm(shape)
        self.dropout = shape.dropout

    def forward(
        self, x_BSD: Tensor, rotary: tuple[Tensor, Tensor] | None, mask_BS: Tensor
    ) -> Tensor:
        """Return the positions after this block, shape (B, S, D).

        Args:
            x_BSD: The positions.
            rotary: Cosines and sines of their places.
            mask_BS: 0 at padding.
        """
        x_BSD = x_BSD + 0.5 * self._dropped(self.first_mlp(self.first_layernorm(x_BSD)))
        seen = may_look(mask_BS)
        heard = self.self_attn(self.input_layernorm(x_BSD), rotary=rotary, mask=seen)
        x_BSD = x_BSD + self._dropped(heard)
        near = self.convolution(self.convolution_layernorm(x_BSD), mask_BS)
        x_BSD = x_BSD + self._dropped(near)
        x_BSD = x_BSD + 0.5 * self._dropped(self.mlp(self.post_attention_layernorm(x_BSD)))
        y_BSD: Tensor = self.final_layernorm(x_BSD)
        return y_BSD

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training and self.dropout > 0)


class ConvolutionModule(nn.Module):
    """A gated linear map, a convolution of each channel by itself, normalised, and a linear map.

    As in Gulati et al. 2020 (2005.08100, section 2.2), but normalised over channels: BatchNorm
    would let the examples of a batch, and their padding, change each other.
    """

    def __init__(self, shape: Shape, kernel: int) -> None:
        super().__init__()
        width = shape.hidden_size
        self.gate_proj = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = make_norm(shape)
        self.down_proj = nn.Linear(width, width)

    def forward(self, x_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        """Return what is near each position, shape (B, S, D); padding counts as zeros."""
        x_BSD = F.glu(self.gate_proj(x_BSD)) * mask_BS[:, :, None].to(x_BSD.dtype)
        near = self.depthwise(x_BSD.transpose(1, 2)).transpose(1, 2)
        y_BSD: Tensor = self.down_proj(F.silu(self.norm(near)))
        return y_BSD


def may_look(mask_BS: Tensor) -> Tensor:
    """Return what every position may look at, (B, 1, 1, S): all real ones.

    A row without any looks everywhere, so that it stays finite.
    """
    mask = mask_BS.bool()[:, None, None, :]
    return mask | ~mask.any(-1, keepdim=True)
