"""A recurrent encoder that reads both ways, and a recurrent decoder with attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from luban.core.contracts import Model, Signature
from luban.core.errors import RecipeError
from luban.nn.cache import Conditioned, StateCache


class RNNSeq2seq(Model):
    """LSTM or GRU with attention: what translated before the Transformer.

    The attention looks from the decoder's state after each step (Luong et al. 2015, 1508.04025),
    so that all steps of a training example are computed in one pass, unless ``input_feeding``
    gives each step what the one before attended to (their section 3.3).
    """

    accepts: ClassVar[tuple[str, ...]] = ("tokens",)
    produces: ClassVar[tuple[str, ...]] = ("sequence",)

    cell: Literal["lstm", "gru"] = "lstm"
    hidden_size: int = Field(
        default=256, ge=2, le=1_048_576, description="Even: half for each direction."
    )
    num_hidden_layers: int = Field(
        default=2, ge=1, le=1_024, description="Of encoder and decoder each."
    )
    embedding_size: int | None = Field(
        default=None, ge=1, le=1_048_576, description="None: hidden_size."
    )
    attention: Literal["general", "additive"] = Field(
        default="general",
        description="Scores h'Wm (Luong), or v'tanh(Wh + Um) (Bahdanau et al. 2014, 1409.0473).",
    )
    input_feeding: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    tie_word_embeddings: bool = Field(default=False, description="One table for all three uses.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.hidden_size % 2:
            raise ValueError("hidden_size must be even: each direction has half of it")
        if self.tie_word_embeddings and self.embedding_size not in (None, self.hidden_size):
            raise ValueError("a tied head needs embedding_size = hidden_size")
        return self

    def build(self, signature: Signature) -> RecurrentSeq2seq:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the model cannot take what the task gives.
        """
        if super().fits(signature) and not self.fits(signature):
            raise RecipeError(
                "the two sides of the task have two vocabularies.",
                where="model.tie_word_embeddings",
                got=f"{signature.inputs:,} and {signature.outputs:,} tokens",
                fix="leave out task.target_tokenizer or tie_word_embeddings.",
            )
        self.check(signature)
        return RecurrentSeq2seq(self, signature)

    def fits(self, signature: Signature) -> bool:
        """Return whether this model takes and gives what a task asks for."""
        one = self.tie_word_embeddings
        return super().fits(signature) and (not one or signature.inputs == signature.outputs)


class RecurrentSeq2seq(nn.Module):
    """Shapes: B batch, S source and T target positions, D width, L layers, V vocabulary."""

    def __init__(self, config: RNNSeq2seq, signature: Signature) -> None:
        super().__init__()
        size, width = config.hidden_size, config.embedding_size or config.hidden_size
        cell = {"lstm": nn.LSTM, "gru": nn.GRU}[config.cell]
        layers = config.num_hidden_layers
        drop = config.dropout if layers > 1 else 0.0  # torch drops between layers only
        self.stem = nn.Embedding(signature.inputs, width)
        self.encoder: nn.RNNBase = cell(
            width, size // 2, layers, batch_first=True, dropout=drop, bidirectional=True
        )
        self.decoder_embed: nn.Embedding | None = None
        self.head: nn.Linear | None = None
        if not config.tie_word_embeddings:
            self.decoder_embed = nn.Embedding(signature.outputs, width)
            self.head = nn.Linear(size, signature.outputs)
        fed = size if config.input_feeding else 0
        self.decoder: nn.RNNBase = cell(width + fed, size, layers, batch_first=True, dropout=drop)
        self.key = nn.Linear(size, size, bias=False)
        self.query: nn.Linear | None = None
        self.score: nn.Linear | None = None
        if config.attention == "additive":
            self.query, self.score = nn.Linear(size, size), nn.Linear(size, 1, bias=False)
        self.combine = nn.Linear(2 * size, size)
        self.dropout, self.feeding = config.dropout, config.input_feeding
        self.init_weights()

    @property
    def blocks(self) -> nn.ModuleList:
        """The encoder, then the decoder."""
        return nn.ModuleList([self.encoder, self.decoder])

    @property
    def context(self) -> int | None:
        """Longest sequence the module can write: there is no bound."""
        return None

    @torch.no_grad()
    def init_weights(self) -> None:
        """Draw fresh weights: torch's own, and embeddings of 1/sqrt(width)."""
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
            elif isinstance(module, nn.Linear | nn.RNNBase):
                module.reset_parameters()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
    ) -> Tensor:
        """Return the logits after every position of the second sequence, shape (B, T, V).

        Args:
            input_ids: The sequence to read, shape (B, S).
            attention_mask: 0 at padding on the right, shape (B, S) (None: no padding).
            decoder_input_ids: The sequence to write so far, shape (B, T).
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
        memory, state = self._encode(input_ids, attention_mask)
        return self._write(decoder_input_ids, memory, state)[0]

    def read(self, inputs: Mapping[str, Tensor], length: int) -> Conditioned[StateCache]:
        """Read the input; return a cache for answers of any ``length``."""
        memory, state = self._encode(inputs["input_ids"], inputs.get("attention_mask"))
        return Conditioned(StateCache(state), memory)

    def decode(
        self,
        input_ids_BT: Tensor,
        cache: Conditioned[StateCache],
        counts: Sequence[int] | None = None,
    ) -> Tensor:
        """Read new target tokens into the cache and return the logits that follow them, (B, V).

        Args:
            input_ids_BT: New tokens, padded on the right.
            cache: Changed in place.
            counts: How many tokens of each row are real, at least one (None: all of them).
        """
        state = cache.answers.states_LBD
        if counts is None or set(counts) == {input_ids_BT.shape[1]}:
            y_BTD, state = self._write(input_ids_BT, cache.memory, state)
            cache.answers.states_LBD = state
            return self._head(y_BTD[:, -1])
        ends = torch.tensor(counts, device=input_ids_BT.device)
        last_BD = state[0].new_zeros(len(counts), self.key.out_features)
        for t in range(input_ids_BT.shape[1]):
            y_BTD, new = self._write(input_ids_BT[:, t : t + 1], cache.memory, state)
            goes = (t < ends)[:, None]
            state = tuple(torch.where(goes, a, b) for a, b in zip(new, state, strict=True))
            last_BD = torch.where(goes, y_BTD[:, 0], last_BD)
        cache.answers.states_LBD = state
        return self._head(last_BD)

    def _encode(
        self, input_ids_BS: Tensor, attention_mask_BS: Tensor | None
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return (memory, its keys, where it is real), and the state the decoder starts from."""
        keep_BS = torch.ones_like(input_ids_BS) if attention_mask_BS is None else attention_mask_BS
        packed = pack_padded_sequence(
            self._drop(self.stem(input_ids_BS)),
            keep_BS.sum(1).cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        out, state = self.encoder(packed)
        m_BSD, _ = pad_packed_sequence(out, batch_first=True, total_length=input_ids_BS.shape[1])
        parts = state if isinstance(state, tuple) else (state,)
        both = tuple(torch.cat([part[0::2], part[1::2]], -1) for part in parts)
        if self.feeding:  # what the step before attended to is part of the state
            both = (*both, torch.zeros_like(both[0][:1]))
        return (m_BSD, self.key(m_BSD), keep_BS.bool()), both

    def _write(
        self, ids_BT: Tensor, memory: tuple[Tensor, ...], state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what the head sees after each token, and the state after the last one."""
        x_BTD = self._drop((self.decoder_embed or self.stem)(ids_BT))
        if not self.feeding:
            h_BTD, state = self._run(x_BTD, state)
            return self._attend(h_BTD, memory), state
        outputs, (*own, fed_1BD) = [], state
        for t in range(ids_BT.shape[1]):
            x_B1D = torch.cat([x_BTD[:, t : t + 1], fed_1BD.transpose(0, 1)], -1)
            h_B1D, own_ = self._run(x_B1D, tuple(own))
            outputs.append(self._attend(h_B1D, memory))
            own, fed_1BD = list(own_), outputs[-1].transpose(0, 1)
        return torch.cat(outputs, 1), (*own, fed_1BD)

    def _run(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_BTD, new = self.decoder(x_BTD, state if len(state) > 1 else state[0])
        return h_BTD, new if isinstance(new, tuple) else (new,)

    def _attend(self, h_BTD: Tensor, memory: tuple[Tensor, ...]) -> Tensor:
        """Return tanh(W [context; h]) with the context that each h attends to."""
        m_BSD, k_BSD, keep_BS = memory
        if self.query is None or self.score is None:
            scores_BTS = h_BTD @ k_BSD.mT
        else:
            mixed_BTSD = torch.tanh(self.query(h_BTD)[:, :, None] + k_BSD[:, None])
            scores_BTS = self.score(mixed_BTSD)[..., 0]
        weights_BTS = scores_BTS.masked_fill(~keep_BS[:, None], -torch.inf).softmax(-1)
        context_BTD = weights_BTS.to(m_BSD.dtype) @ m_BSD
        return torch.tanh(self.combine(torch.cat([context_BTD, h_BTD], -1)))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training and self.dropout > 0)

    def _head(self, x: Tensor) -> Tensor:
        x = self._drop(x)
        return F.linear(x, self.stem.weight) if self.head is None else self.head(x)
