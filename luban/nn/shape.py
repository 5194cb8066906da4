"""What decides a Transformer block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Everything that decides a block; names as in Hugging Face's configurations.

    Attributes:
        num_key_value_heads: A divisor of ``num_attention_heads``; fewer than it: grouped queries.
        hidden_act: A name in ``luban.nn.activations``.
        causal: Whether a position sees only itself and what came before.
        gated: Whether the feed-forward network has a gate.
        qk_norm: Whether queries and keys are normalised by head.
        dropout: Share dropped of what a block adds, and of attention weights.
        attention_dropout: Share dropped of attention weights, if it is another one.
        norm_first: Whether each part is normalised before it, or (as in BERT) after it was added.
        cross: Whether each block also looks at a memory, between attention and MLP.
    """

    hidden_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    hidden_act: str
    norm: Literal["rms", "layer"] = "rms"
    norm_eps: float = 1e-6
    causal: bool = True
    gated: bool = True
    qk_norm: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    dropout: float = 0.0
    attention_dropout: float | None = None
    norm_first: bool = True
    cross: bool = False
