"""A decoder over tokens: embedding, blocks, head; what GPT-like models are made of.

Shapes: B batch, T time, D model width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luban.core.errors import CapacityError
from luban.nn.attention import causal_mask
from luban.nn.block import Block
from luban.nn.cache import KVCache, Step
from luban.nn.initial import draw_weights
from luban.nn.norms import make_norm
from luban.nn.packing import packed_mask
from luban.nn.rotary import Rotary
from luban.nn.shape import Shape


class DecoderModel(nn.Module):
    """Token embedding, blocks and final norm; the inner ``model`` of a Hugging Face decoder."""

    def __init__(
        self, shape: Shape, vocab_size: int, num_layers: int, position: Rotary | nn.Embedding
    ) -> None:
        super().__init__()
        self.dropout = shape.dropout
        self.embed_tokens = nn.Embedding(vocab_size, shape.hidden_size)
        self.embed_positions = position if isinstance(position, nn.Embedding) else None
        self.rotary = position if isinstance(position, Rotary) else None
        self.layers = nn.ModuleList(Block(shape) for _ in range(num_layers))
        self.norm = make_norm(shape)
        self.cache_shape = (num_layers, shape.num_key_value_heads, shape.head_dim)

    @property
    def positions(self) -> int:
        """How many positions there are."""
        if self.embed_positions is not None:
            return self.embed_positions.num_embeddings
        return 0 if self.rotary is None else self.rotary.cos_PD.shape[0]

    def forward(
        self,
        input_ids_BT: Tensor,
        position_ids: Tensor | None = None,
        attention_mask_BT: Tensor | None = None,
        past: tuple[KVCache, Step] | None = None,
        segment_ids_BT: Tensor | None = None,
    ) -> Tensor:
        """Return the hidden states, shape (B, T, D)."""
        length = input_ids_BT.shape[1]
        if length > self.positions:
            raise CapacityError(
                "the sequence is longer than the model's positions.",
                expected=f"at most {self.positions}",
                got=length,
            )
        x_BTD = self.embed_tokens(input_ids_BT)
        if self.embed_positions is not None:
            table = self.embed_positions.weight[:length]
            x_BTD = x_BTD + (table if position_ids is None else self.embed_positions(position_ids))
        if self.dropout:
            x_BTD = F.dropout(x_BTD, self.dropout, self.training)
        rotary = None if self.rotary is None else self.rotary(length, position_ids)
        mask = None if attention_mask_BT is None else causal_mask(attention_mask_BT, causal=True)
        if segment_ids_BT is not None:
            apart = packed_mask(segment_ids_BT)
            mask = apart if mask is None else mask & apart
        for index, layer in enumerate(self.layers):
            x_BTD = layer(x_BTD, rotary, mask, None if past is None else (*past, index))
        hidden_BTD: Tensor = self.norm(x_BTD)
        return hidden_BTD


class CausalLM(nn.Module):
    """A decoder with a head over the vocabulary; parameter names are Hugging Face's.

    A tied head is no module of its own, so the state dict holds every weight once.
    """

    def __init__(
        self, model: DecoderModel, *, tied: bool, init_std: float | None, zero_out: bool
    ) -> None:
        super().__init__()
        self.model = model
        self.lm_head: nn.Linear | None = None
        if not tied:
            rows, width = model.embed_tokens.weight.shape
            self.lm_head = nn.Linear(width, rows, bias=False)
        self._init_std, self._zero_out = init_std, zero_out
        self.init_weights()

    @property
    def stem(self) -> nn.Embedding:
        """The token embedding."""
        return self.model.embed_tokens

    @property
    def blocks(self) -> nn.ModuleList:
        """The Transformer blocks, first to last."""
        return self.model.layers

    @property
    def context(self) -> int:
        """Longest sequence the module can hold."""
        return self.model.positions

    def init_weights(self) -> None:
        """Draw fresh weights."""
        draw_weights(
            self,
            layers=len(self.model.layers),
            std=self._init_std,
            zero_out=self._zero_out,
            head=self.lm_head,
        )

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        segment_ids: Tensor | None = None,
    ) -> Tensor:
        """Return logits, shape (B, T, V).

        Args:
            input_ids: Shape (B, T).
            position_ids: Shape (B, T) (None: 0 to T - 1).
            attention_mask: Shape (B, T), 0 at padding (None: no padding, or only on the right,
                where a causal model never looks).
            segment_ids: Shape (B, T): which of several sequences in a row a position belongs to;
                it sees no other (None: one sequence). ``position_ids`` should start anew in each.
        """
        return self._head(self.features(input_ids, position_ids, attention_mask, segment_ids))

    def features(
        self,
        input_ids: Tensor,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        segment_ids: Tensor | None = None,
    ) -> Tensor:
        """Return what the head sees, shape (B, T, D); arguments are those of ``forward``."""
        hidden: Tensor = self.model(
            input_ids, position_ids, attention_mask, segment_ids_BT=segment_ids
        )
        return hidden

    def new_cache(self, batch_size: int, length: int) -> KVCache:
        """Return an empty cache for rows of up to ``length`` positions."""
        layers, heads, width = self.model.cache_shape
        return KVCache.empty((layers, batch_size, length, heads, width), like=self.stem.weight)

    def decode(
        self, input_ids_BT: Tensor, cache: KVCache, counts: Sequence[int] | None = None
    ) -> Tensor:
        """Read new tokens into the cache and return the logits that follow them, shape (B, V).

        Args:
            input_ids_BT: New tokens, padded on the right.
            cache: Changed in place.
            counts: How many tokens of each row are real, at least one (None: all of them).
        """
        rows, length = input_ids_BT.shape
        step = cache.begin(length)
        x_BTD = self.model(input_ids_BT, step.positions, past=(cache, step))
        counts = [length] * rows if counts is None else counts
        cache.advance(counts)
        last = torch.tensor(counts, device=x_BTD.device) - 1
        return self._head(x_BTD[torch.arange(rows, device=x_BTD.device), last])

    def _head(self, x: Tensor) -> Tensor:
        if self.lm_head is None:
            return F.linear(x, self.stem.weight)
        logits: Tensor = self.lm_head(x)
        return logits
