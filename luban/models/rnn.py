"""A recurrent network over tokens or frames: plain RNN, LSTM or GRU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from luban.core.contracts import Model, Signature
from luban.core.errors import RecipeError
from luban.nn.cache import StateCache
from luban.nn.embedding import TokenEmbedding
from luban.nn.frames import RecurrentFrames
from luban.nn.recurrent import CELLS, Cell, Pooling, RecurrentEncoder, draw_cells
from luban.nn.subsampling import FrameStacking


class RNN(Model):
    """The classic language model (Mikolov et al. 2010; Hochreiter and Schmidhuber 1997).

    For labels, tags and transcripts it reads both ways (Graves and Schmidhuber 2005). Frames of
    sound are stacked, as many as the task's stride says (Sak et al. 2015, 1507.06947).
    """

    accepts: ClassVar[tuple[str, ...]] = ("tokens", "frames")
    produces: ClassVar[tuple[str, ...]] = ("next", "label", "tags", "alignment")

    cell: Cell = "lstm"
    hidden_size: int = Field(default=256, ge=1, le=1_048_576, description="In each direction.")
    num_hidden_layers: int = Field(default=2, ge=1, le=1_024)
    embedding_size: int | None = Field(
        default=None, ge=1, le=1_048_576, description="None: hidden_size."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1)
    tie_word_embeddings: bool = Field(
        default=False, description="For the next token: the head is the embedding."
    )
    bidirectional: bool | None = Field(
        default=None, description="None: both ways, but for the next token to the right only."
    )
    pooling: Pooling = Field(
        default="max", description="One vector for a label, from those of all positions."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.tie_word_embeddings and self.embedding_size not in (None, self.hidden_size):
            raise ValueError("a tied head needs embedding_size = hidden_size")
        return self

    def fits(self, signature: Signature) -> bool:
        """Return whether this model takes and gives what a task asks for."""
        heard = signature.produces in ("label", "alignment")
        of_it = heard if signature.accepts == "frames" else signature.produces != "alignment"
        return super().fits(signature) and of_it

    def build(self, signature: Signature) -> RecurrentLM | RecurrentEncoder | RecurrentFrames:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the task gives neither tokens nor frames, or asks for what cannot be.
        """
        self.check(signature)
        if signature.produces == "next":
            if self.bidirectional:
                raise RecipeError(
                    "what reads both ways would see the token it is to predict.",
                    where="model.bidirectional",
                    expected="false",
                    got=True,
                )
            return RecurrentLM(self, signature)
        width = self.embedding_size or self.hidden_size
        if signature.accepts == "frames":
            return RecurrentFrames(
                FrameStacking(signature.inputs, width, signature.stride, self.dropout),
                self.cell,
                self.hidden_size,
                self.num_hidden_layers,
                signature.outputs,
                both=self.bidirectional is not False,
                pooling=self.pooling if signature.produces == "label" else None,
                dropout=self.dropout,
            )
        return RecurrentEncoder(
            TokenEmbedding(signature.inputs, width, signature.segments, self.dropout),
            self.cell,
            self.hidden_size,
            self.num_hidden_layers,
            signature.outputs,
            both=self.bidirectional is not False,
            pooling=self.pooling if signature.produces == "label" else None,
            dropout=self.dropout,
            chain=signature.chain,
        )

    def flops_per_token(self, signature: Signature, parameters: int) -> float:
        """Return 6 per parameter (Kaplan et al. 2020, 2001.08361); looking up a row is free.

        Of frames, as many as the stride are read as one.
        """
        if signature.accepts == "frames":
            return 6.0 * parameters / signature.stride
        tied = signature.produces == "next" and self.tie_word_embeddings
        looked_up = 0 if tied else signature.inputs * (self.embedding_size or self.hidden_size)
        return 6.0 * (parameters - looked_up)


class RecurrentLM(nn.Module):
    """Shapes: B batch, T time, D width, L layers, V vocabulary."""

    def __init__(self, config: RNN, signature: Signature) -> None:
        super().__init__()
        width = config.embedding_size or config.hidden_size
        self.stem = nn.Embedding(signature.inputs, width)
        self.blocks = nn.ModuleList()  # the layers are one operation
        self.layers: nn.RNNBase = CELLS[config.cell](
            width,
            config.hidden_size,
            config.num_hidden_layers,
            batch_first=True,
            # torch drops between layers only, and warns if there is one.
            dropout=config.dropout if config.num_hidden_layers > 1 else 0.0,
        )
        self.head: nn.Linear | None = None
        if not config.tie_word_embeddings:
            self.head = nn.Linear(config.hidden_size, signature.outputs)
        self.dropout = config.dropout
        self.init_weights()

    @property
    def context(self) -> int | None:
        """Longest sequence the module can hold: there is no bound."""
        return None

    @torch.no_grad()
    def init_weights(self) -> None:
        """Draw fresh weights."""
        nn.init.normal_(self.stem.weight, std=self.stem.embedding_dim**-0.5)
        draw_cells(self.layers)
        if self.head is not None:
            self.head.reset_parameters()

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return logits (B, T, V) of tokens (B, T); padding may be on the right only."""
        x_BTD, _ = self.layers(self._embed(input_ids))
        return self._head(x_BTD)

    def new_cache(self, batch_size: int, length: int) -> StateCache:
        """Return the state before the first token; any ``length`` fits."""
        shape = (self.layers.num_layers, batch_size, self.layers.hidden_size)
        parts = 2 if isinstance(self.layers, nn.LSTM) else 1
        return StateCache(tuple(self.stem.weight.new_zeros(shape) for _ in range(parts)))

    def decode(
        self, input_ids_BT: Tensor, cache: StateCache, counts: Sequence[int] | None = None
    ) -> Tensor:
        """Read new tokens into the cache and return the logits that follow them, shape (B, V).

        Args:
            input_ids_BT: New tokens, padded on the right.
            cache: Changed in place.
            counts: How many tokens of each row are real, at least one (None: all of them).
        """
        rows, length = input_ids_BT.shape
        counts = [length] * rows if counts is None else counts
        packed = pack_padded_sequence(
            self._embed(input_ids_BT),
            torch.tensor(counts),
            batch_first=True,
            enforce_sorted=False,
        )
        state = cache.states_LBD if len(cache.states_LBD) > 1 else cache.states_LBD[0]
        out, state = self.layers(packed, state)
        cache.states_LBD = state if isinstance(state, tuple) else (state,)
        x_BTD, _ = pad_packed_sequence(out, batch_first=True)
        last = torch.tensor(counts, device=x_BTD.device) - 1
        return self._head(x_BTD[torch.arange(rows, device=x_BTD.device), last])

    def _embed(self, input_ids_BT: Tensor) -> Tensor:
        return F.dropout(self.stem(input_ids_BT), self.dropout, self.training)

    def _head(self, x: Tensor) -> Tensor:
        x = F.dropout(x, self.dropout, self.training)
        return F.linear(x, self.stem.weight) if self.head is None else self.head(x)
