"""Multi-head attention: causal, bidirectional or across, with grouped queries.

Shapes: B batch, T queries, S keys, D model width, H query heads, K key/value heads, E head width.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luban.nn.cache import KVCache, Step
from luban.nn.norms import RMSNorm
from luban.nn.rotary import rotate
from luban.nn.shape import Shape


class Attention(nn.Module):
    """Attention with the parameter names of Hugging Face's Llama and Qwen3."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, bias = shape.hidden_size, shape.attention_bias
        queries = shape.num_attention_heads * shape.head_dim
        keys = shape.num_key_value_heads * shape.head_dim
        self.head_dim, self.causal, self.dropout = shape.head_dim, shape.causal, shape.dropout
        if shape.attention_dropout is not None:
            self.dropout = shape.attention_dropout
        self.q_proj = nn.Linear(width, queries, bias=bias)
        self.k_proj = nn.Linear(width, keys, bias=bias)
        self.v_proj = nn.Linear(width, keys, bias=bias)
        self.o_proj = nn.Linear(queries, width, bias=bias)
        self.q_norm: RMSNorm | None = None
        self.k_norm: RMSNorm | None = None
        if shape.qk_norm:
            self.q_norm = RMSNorm(shape.head_dim, shape.norm_eps)
            self.k_norm = RMSNorm(shape.head_dim, shape.norm_eps)

    def forward(
        self,
        x_BTD: Tensor,
        *,
        rotary: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        memory: Tensor | tuple[Tensor, Tensor] | None = None,
        past: tuple[KVCache, Step, int] | None = None,
    ) -> Tensor:
        """Return the mix of values each position asked for, shape (B, T, D).

        Args:
            x_BTD: Where the queries come from.
            rotary: Cosines and sines for queries and keys.
            mask: True where a query may look, broadcastable to (B, H, T, S); it replaces the
                causal rule.
            memory: Where keys and values come from, (B, S, D), or what ``keys_values`` made of it
                (None: ``x_BTD``).
            past: The cache, where it is written, and which layer this is.
        """
        q_BTHE = self.q_proj(x_BTD).unflatten(-1, (-1, self.head_dim))
        if self.q_norm is not None:
            q_BTHE = self.q_norm(q_BTHE)
        if isinstance(memory, tuple):
            k_BSKE, v_BSKE = memory
        else:
            k_BSKE, v_BSKE = self.keys_values(x_BTD if memory is None else memory)
        if rotary is not None:
            q_BTHE, k_BSKE = rotate(q_BTHE, *rotary), rotate(k_BSKE, *rotary)
        if past is not None:
            cache, step, layer = past
            k_BSKE, v_BSKE = cache.write(layer, step, k_BSKE, v_BSKE)
            mask = step.mask
        # One new position after cached ones sees everything: no rule needed.
        square = q_BTHE.shape[1] == k_BSKE.shape[1]
        y_BHTE = attend(
            q_BTHE.transpose(1, 2),
            k_BSKE.transpose(1, 2),
            v_BSKE.transpose(1, 2),
            mask="causal" if mask is None and self.causal and square else mask,
            dropout=self.dropout if self.training else 0.0,
        )
        y_BTD: Tensor = self.o_proj(y_BHTE.transpose(1, 2).flatten(2))
        return y_BTD

    def keys_values(self, x_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and values of positions, (B, S, K, E) each; a memory's never change."""
        k_BSKE = self.k_proj(x_BSD).unflatten(-1, (-1, self.head_dim))
        v_BSKE = self.v_proj(x_BSD).unflatten(-1, (-1, self.head_dim))
        return k_BSKE if self.k_norm is None else self.k_norm(k_BSKE), v_BSKE


def attend(
    q_BHTE: Tensor,
    k_BKSE: Tensor,
    v_BKSE: Tensor,
    mask: Tensor | Literal["causal"] | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Return softmax(q k' / sqrt E) v, shape (B, H, T, E) (Vaswani et al. 2017, 1706.03762).

    Queries share keys and values in groups of H / K (Ainslie et al. 2023, 2305.13245).

    Args:
        q_BHTE: Queries.
        k_BKSE: Keys.
        v_BKSE: Values.
        mask: True where a query may look; ``causal``: at itself and before; None: everywhere.
        dropout: Share of attention weights dropped.
    """
    if _products_are_faster(q_BHTE, causal=isinstance(mask, str)):
        return _attend_by_products(q_BHTE, k_BKSE, v_BKSE, mask, dropout)
    return F.scaled_dot_product_attention(
        q_BHTE,
        k_BKSE,
        v_BKSE,
        attn_mask=None if isinstance(mask, str) else mask,
        dropout_p=dropout,
        is_causal=isinstance(mask, str),
        enable_gqa=q_BHTE.shape[1] != k_BKSE.shape[1],
    )


def _products_are_faster(q_BHTE: Tensor, *, causal: bool) -> bool:
    """Whether plain matrix products beat torch's fused kernel, as measured on AVX-512 with bf16.

    Its backward pass in bf16 is two to five times slower at these lengths; in fp32 only a short
    causal one is.
    """
    longest = 512 if q_BHTE.dtype == torch.bfloat16 else 64 * causal
    return q_BHTE.device.type == "cpu" and q_BHTE.requires_grad and q_BHTE.shape[2] <= longest


def _attend_by_products(
    q_BHTE: Tensor,
    k_BKSE: Tensor,
    v_BKSE: Tensor,
    mask: Tensor | Literal["causal"] | None,
    dropout: float,
) -> Tensor:
    batch, heads, length, head_dim = q_BHTE.shape
    groups = heads // k_BKSE.shape[1]
    if groups > 1:
        k_BKSE, v_BKSE = (x.repeat_interleave(groups, 1) for x in (k_BKSE, v_BKSE))
    q, k, v = (x.flatten(0, 1) for x in (q_BHTE, k_BKSE, v_BKSE))
    scores: Tensor
    if isinstance(mask, str):
        future = torch.full((length, length), -math.inf, dtype=q.dtype).triu(1)
        scores = torch.baddbmm(future, q, k.mT, alpha=head_dim**-0.5)
    else:
        scores = torch.bmm(q, k.mT * head_dim**-0.5)
        if mask is not None:
            scores = scores.view(batch, heads, *scores.shape[1:]).masked_fill(~mask, -math.inf)
            scores = scores.flatten(0, 1)
    weights = scores.softmax(-1)
    if dropout:
        weights = F.dropout(weights, dropout)
    return torch.bmm(weights, v).view_as(q_BHTE)


def causal_mask(keep_BT: Tensor, causal: bool) -> Tensor:
    """Return who may look where, (B, 1, T, T), given which positions are real.

    Every position may look at itself, so that padding rows stay finite.
    """
    size = keep_BT.shape[1]
    mask = keep_BT.bool()[:, None, None, :]
    if causal:
        mask = mask & torch.ones(size, size, dtype=torch.bool, device=keep_BT.device).tril()
    return mask | torch.eye(size, dtype=torch.bool, device=keep_BT.device)
