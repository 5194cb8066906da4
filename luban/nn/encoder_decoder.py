"""An encoder that reads one sequence and a decoder that writes another.

Shapes: B batch, S source positions, T target positions, D model width, V target vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luban.core.errors import CapacityError
from luban.nn.block import Block
from luban.nn.cache import Conditioned, KVCache
from luban.nn.initial import draw_weights
from luban.nn.norms import make_norm
from luban.nn.shape import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """What an encoder-decoder has beside the shape of its blocks.

    Attributes:
        sources: Vocabulary of the input.
        targets: Vocabulary of the output.
        encoder_layers: Blocks that read.
        decoder_layers: Blocks that write.
        positions: Longest sequence on either side.
        shared: Whether both sides use one embedding.
        scale: What embeddings are multiplied by.
        init_std: As in ``draw_weights``.
        zero_out: As in ``draw_weights``.
    """

    sources: int
    targets: int
    encoder_layers: int
    decoder_layers: int
    positions: int
    shared: bool
    scale: float
    init_std: float | None
    zero_out: bool


class Stack(nn.Module):
    """Blocks and, where they normalise first, a norm at their end."""

    def __init__(self, shape: Shape, layers: int) -> None:
        super().__init__()
        self.layers: Sequence[Block] = nn.ModuleList(  # type: ignore[assignment]
            Block(shape) for _ in range(layers)
        )
        self.norm = make_norm(shape) if shape.norm_first else nn.Identity()


class EncoderDecoder(nn.Module):
    """Embedding, encoder, decoder with cross attention; the head is the target embedding.

    Vaswani et al. 2017, 1706.03762, with sinusoidal positions.
    """

    embed_positions_PD: Tensor
    final_logits_bias: Tensor

    def __init__(self, shape: Shape, halves: Halves) -> None:
        super().__init__()
        width = shape.hidden_size
        self.embed_tokens = nn.Embedding(halves.sources, width)
        self.decoder_embed_tokens: nn.Embedding | None = None
        if not halves.shared:
            self.decoder_embed_tokens = nn.Embedding(halves.targets, width)
        self.encoder = Stack(replace(shape, causal=False), halves.encoder_layers)
        self.decoder = Stack(replace(shape, cross=True), halves.decoder_layers)
        self.register_buffer("embed_positions_PD", sinusoids(halves.positions, width))
        self.register_buffer("final_logits_bias", torch.zeros(1, halves.targets))
        self.dropout, self._halves, self._shape = shape.dropout, halves, shape
        self.init_weights()

    @property
    def stem(self) -> nn.Embedding:
        """The token embedding of the input."""
        return self.embed_tokens

    @property
    def blocks(self) -> nn.ModuleList:
        """The Transformer blocks: those that read, then those that write."""
        return nn.ModuleList([*self.encoder.layers, *self.decoder.layers])

    @property
    def head(self) -> None:
        """There is none: the target embedding is the head."""

    @property
    def context(self) -> int:
        """Longest sequence on either side."""
        return self.embed_positions_PD.shape[0]

    def init_weights(self) -> None:
        """Draw fresh weights."""
        halves = self._halves
        layers = max(halves.encoder_layers, halves.decoder_layers)
        draw_weights(self, layers=layers, std=halves.init_std, zero_out=halves.zero_out, head=None)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
    ) -> Tensor:
        """Return the logits after every position of the second sequence, shape (B, T, V).

        Args:
            input_ids: The sequence to read, shape (B, S).
            attention_mask: 0 at padding, shape (B, S) (None: no padding).
            decoder_input_ids: The sequence to write so far, shape (B, T); padding on the right.
        """
        return self._head(self.features(input_ids, attention_mask, decoder_input_ids))

    def features(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
    ) -> Tensor:
        """Return what the head sees, shape (B, T, D); the arguments are those of ``forward``."""
        if decoder_input_ids is None:
            raise TypeError("decoder_input_ids is missing")
        mask = None if attention_mask is None else attention_mask[:, None, None, :].bool()
        memory_BSD = self._encode(input_ids, mask)
        x_BTD = self._embed(self._targets, decoder_input_ids)
        for layer in self.decoder.layers:
            x_BTD = layer(x_BTD, memory=memory_BSD, memory_mask=mask)
        hidden_BTD: Tensor = self.decoder.norm(x_BTD)
        return hidden_BTD

    def read(self, inputs: Mapping[str, Tensor], length: int) -> Conditioned[KVCache]:
        """Read the input; return a cache for answers of up to ``length`` positions."""
        ids = inputs["input_ids"]
        keep = inputs.get("attention_mask", torch.ones_like(ids))
        mask = keep[:, None, None, :].bool()
        memory_BSD = self._encode(ids, mask)
        seen = [layer.keys_values(memory_BSD) for layer in self.decoder.layers]
        shape = self._shape
        room = (len(seen), ids.shape[0], length, shape.num_key_value_heads, shape.head_dim)
        answers = KVCache.empty(room, like=self.stem.weight)
        return Conditioned(answers, (mask, *(part for pair in seen for part in pair)))

    def decode(
        self,
        input_ids_BT: Tensor,
        cache: Conditioned[KVCache],
        counts: Sequence[int] | None = None,
    ) -> Tensor:
        """Read new target tokens into the cache and return the logits that follow them, (B, V).

        Args:
            input_ids_BT: New tokens, padded on the right.
            cache: Changed in place.
            counts: How many tokens of each row are real, at least one (None: all of them).
        """
        rows, length = input_ids_BT.shape
        answers, (mask, *seen) = cache.answers, cache.memory
        step = answers.begin(length)
        x_BTD = self._embed(self._targets, input_ids_BT, step.positions)
        for index, layer in enumerate(self.decoder.layers):
            memory = (seen[2 * index], seen[2 * index + 1])
            x_BTD = layer(x_BTD, past=(answers, step, index), memory=memory, memory_mask=mask)
        counts = [length] * rows if counts is None else counts
        answers.advance(counts)
        last = torch.tensor(counts, device=x_BTD.device) - 1
        return self._head(self.decoder.norm(x_BTD[torch.arange(rows, device=x_BTD.device), last]))

    @property
    def _targets(self) -> nn.Embedding:
        return self.decoder_embed_tokens or self.embed_tokens

    def _encode(self, input_ids_BS: Tensor, mask: Tensor | None) -> Tensor:
        x_BSD = self._embed(self.embed_tokens, input_ids_BS)
        for layer in self.encoder.layers:
            x_BSD = layer(x_BSD, mask=mask)
        memory_BSD: Tensor = self.encoder.norm(x_BSD)
        return memory_BSD

    def _embed(self, table: nn.Embedding, ids_BT: Tensor, at: Tensor | None = None) -> Tensor:
        """Return scaled embeddings plus positions: those given, or all from 0 on."""
        length = ids_BT.shape[1]
        if length > self.context:
            raise CapacityError(
                "the sequence is longer than the model's positions.",
                expected=f"at most {self.context}",
                got=length,
            )
        table_PD = self.embed_positions_PD
        places = table_PD[:length] if at is None else table_PD[at]
        x_BTD = table(ids_BT) * self._halves.scale + places
        return F.dropout(x_BTD, self.dropout, self.training and self.dropout > 0)

    def _head(self, x: Tensor) -> Tensor:
        return F.linear(x, self._targets.weight, self.final_logits_bias[0])


def sinusoids(positions: int, width: int) -> Tensor:
    """Return sines, then cosines, of positions at falling frequencies, shape (P, D).

    Column j of the first half is sin(p / 10000^(2j/D)), of the second half the cosine: section
    3.5 of Vaswani et al. 2017, in the order that Hugging Face's Marian and Pegasus keep them.
    """
    rates = 10_000 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * rates
    return torch.cat([angles.sin(), angles[:, : width // 2].cos()], 1).float()
