"""One Transformer block family for every model.

Shapes: B batch, T time, D model width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from luban.nn.attention import Attention
from luban.nn.cache import KVCache, Step
from luban.nn.mlp import MLP, GatedMLP
from luban.nn.norms import make_norm
from luban.nn.shape import Shape


class Block(nn.Module):
    """Attention, then a feed-forward network, each normalised before and added after."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = make_norm(shape)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = make_norm(shape)
        self.mlp = GatedMLP(shape) if shape.gated else MLP(shape)
        self.dropout = shape.dropout

    def forward(
        self,
        x_BTD: Tensor,
        rotary: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        past: tuple[KVCache, Step, int] | None = None,
    ) -> Tensor:
        """Return the positions after this block, shape (B, T, D)."""
        y_BTD = self.self_attn(self.input_layernorm(x_BTD), rotary=rotary, mask=mask, past=past)
        x_BTD = x_BTD + self._drop(y_BTD)
        x_BTD = x_BTD + self._drop(self.mlp(self.post_attention_layernorm(x_BTD)))
        return x_BTD

    def _drop(self, y_BTD: Tensor) -> Tensor:
        return F.dropout(y_BTD, self.dropout, self.training) if self.dropout else y_BTD
