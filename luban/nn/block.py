"""One Transformer block family for every model.

Shapes: B batch, T time, S memory positions, D model width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from luban.nn.attention import Attention
from luban.nn.cache import KVCache, Step
from luban.nn.mlp import MLP, GatedMLP
from luban.nn.norms import make_norm
from luban.nn.shape import Shape


class Block(nn.Module):
    """Attention, attention to a memory (if there is one), then a feed-forward network.

    What each part gives is added to what it was given. The normalisation stands before each part
    (Xiong et al. 2020, 2002.04745) or after each sum (Vaswani et al. 2017, 1706.03762).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = make_norm(shape)
        self.self_attn = Attention(shape)
        if shape.cross:
            self.cross_attention_layernorm = make_norm(shape)
            self.cross_attn = Attention(replace(shape, causal=False))
        self.post_attention_layernorm = make_norm(shape)
        self.mlp = GatedMLP(shape) if shape.gated else MLP(shape)
        self.dropout, self.norm_first, self.cross = shape.dropout, shape.norm_first, shape.cross

    def forward(  # noqa: PLR0913
        self,
        x_BTD: Tensor,
        rotary: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        past: tuple[KVCache, Step, int] | None = None,
        memory: Tensor | tuple[Tensor, Tensor] | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the positions after this block, shape (B, T, D).

        Args:
            x_BTD: The positions.
            rotary: Cosines and sines of their places.
            mask: True where a position may look; it replaces the causal rule.
            past: The cache, where it is written, and which layer this is.
            memory: What a block with ``cross`` looks at, (B, S, D), or its keys and values.
            memory_mask: True where it may look there, broadcastable to (B, H, T, S).
        """

        def attend(x: Tensor) -> Tensor:
            y: Tensor = self.self_attn(x, rotary=rotary, mask=mask, past=past)
            return y

        def look(x: Tensor) -> Tensor:
            y: Tensor = self.cross_attn(x, mask=memory_mask, memory=memory)
            return y

        x_BTD = self._add(x_BTD, attend, self.input_layernorm)
        if self.cross:
            x_BTD = self._add(x_BTD, look, self.cross_attention_layernorm)
        return self._add(x_BTD, self.mlp, self.post_attention_layernorm)

    def keys_values(self, memory_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Return what this block sees of a memory, to be kept while positions come and go."""
        return self.cross_attn.keys_values(memory_BSD)

    def _add(self, x_BTD: Tensor, part: Callable[[Tensor], Tensor], norm: nn.Module) -> Tensor:
        y_BTD = part(norm(x_BTD) if self.norm_first else x_BTD)
        x_BTD = x_BTD + F.dropout(y_BTD, self.dropout, self.training and self.dropout > 0)
        return x_BTD if self.norm_first else norm(x_BTD)
