"""A bidirectional Transformer over tokens, and the heads that read it.

Shapes: B batch, T time, D model width, V vocabulary, C outputs.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luban.core.errors import CapacityError
from luban.nn.activations import ACTIVATIONS
from luban.nn.block import Block
from luban.nn.crf import CRF
from luban.nn.norms import make_norm
from luban.nn.pooling import mean_over
from luban.nn.shape import Shape


class EncoderModel(nn.Module):
    """Embeddings of tokens, positions and segments, then blocks (Devlin et al. 2018, 1810.04805).

    Blocks that normalise first need one more normalisation at the end.
    """

    def __init__(
        self, shape: Shape, vocab: int, positions: int, segments: int, layers: int
    ) -> None:
        super().__init__()
        width = shape.hidden_size
        self.dropout = shape.dropout
        self.word_embeddings = nn.Embedding(vocab, width)
        self.position_embeddings = nn.Embedding(positions, width)
        self.token_type_embeddings = nn.Embedding(segments, width)
        self.embedding_norm = make_norm(shape)
        self.layers = nn.ModuleList(Block(shape) for _ in range(layers))
        self.norm = make_norm(shape) if shape.norm_first else None

    def forward(
        self,
        input_ids_BT: Tensor,
        attention_mask_BT: Tensor | None = None,
        token_type_ids_BT: Tensor | None = None,
        position_ids_BT: Tensor | None = None,
    ) -> Tensor:
        """Return the hidden states, shape (B, T, D)."""
        length, positions = input_ids_BT.shape[1], self.position_embeddings.num_embeddings
        if length > positions:
            raise CapacityError(
                "the sequence is longer than the model's positions.",
                expected=f"at most {positions}",
                got=length,
            )
        places, kinds = self.position_embeddings, self.token_type_embeddings
        x_BTD: Tensor = self.word_embeddings(input_ids_BT)
        x_BTD = x_BTD + (kinds.weight[0] if token_type_ids_BT is None else kinds(token_type_ids_BT))
        x_BTD = x_BTD + (
            places.weight[:length] if position_ids_BT is None else places(position_ids_BT)
        )
        x_BTD = F.dropout(self.embedding_norm(x_BTD), self.dropout, self.training)
        mask = None if attention_mask_BT is None else _may_look(attention_mask_BT)
        for layer in self.layers:
            x_BTD = layer(x_BTD, mask=mask)
        if self.norm is not None:
            x_BTD = self.norm(x_BTD)
        return x_BTD


class Encoder(nn.Module):
    """An encoder with the head of one task; parts are named as in Hugging Face's BERT classes.

    ``label``: the first position through ``pooler`` (or the mean of all), then ``classifier``;
    ``tags``: ``classifier`` at each position; ``tokens``: ``predictions`` over the vocabulary,
    tied to the embedding; ``span``: ``qa_outputs``. With a chain ``transitions`` score neighbours.
    """

    def __init__(  # noqa: PLR0913
        self,
        encoder: EncoderModel,
        shape: Shape,
        produces: str,
        outputs: int,
        *,
        pooling: Literal["cls", "mean"] = "cls",
        head_dropout: float = 0.0,
        init_std: float = 0.02,
        chain: bool = False,
    ) -> None:
        super().__init__()
        width = shape.hidden_size
        self.encoder = encoder
        self.pooler: Pooler | None = None
        self.predictions: TokenHead | None = None
        self.labels = produces == "label"
        if produces == "tokens":
            self.predictions = TokenHead(shape, encoder.word_embeddings.num_embeddings)
        elif produces == "span":
            self.qa_outputs = nn.Linear(width, 2)
        else:
            self.pooler = Pooler(width) if self.labels and pooling == "cls" else None
            self.classifier = nn.Linear(width, outputs)
        if chain:
            self.transitions = CRF(outputs)
        self.head_dropout = head_dropout if produces in ("label", "tags") else 0.0
        self._init_std = init_std
        self.init_weights()

    @property
    def stem(self) -> nn.Embedding:
        """The token embedding."""
        return self.encoder.word_embeddings

    @property
    def blocks(self) -> nn.ModuleList:
        """The Transformer blocks, first to last."""
        return self.encoder.layers

    @property
    def head(self) -> nn.Module:
        """What reads the last hidden states for the task; a pooler is no part of it."""
        if self.predictions is not None:
            return self.predictions
        return self.qa_outputs if hasattr(self, "qa_outputs") else self.classifier

    @property
    def context(self) -> int:
        """Longest sequence the module can hold."""
        return self.encoder.position_embeddings.num_embeddings

    @torch.no_grad()
    def init_weights(self) -> None:
        """Draw fresh weights as BERT does: normal matrices, biases of zero, norms of one."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=self._init_std)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, CRF):
                module.init_weights()
        if self.predictions is not None:
            nn.init.zeros_(self.predictions.bias)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Return logits: (B, C) for a label, (B, T, C), (B, T, V) or (B, T, 2) otherwise.

        Args:
            input_ids: Shape (B, T).
            attention_mask: Shape (B, T), 0 at padding (None: no padding).
            token_type_ids: Shape (B, T), which of two texts (None: the first).
            position_ids: Shape (B, T) (None: 0 to T - 1).
        """
        x = self.features(input_ids, attention_mask, token_type_ids, position_ids)
        if self.labels:
            x = mean_over(x, attention_mask) if self.pooler is None else self.pooler(x)
        logits: Tensor
        if self.predictions is not None:
            logits = self.predictions(x, self.stem.weight)
            return logits
        logits = self.head(F.dropout(x, self.head_dropout, self.training))
        return logits

    def features(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Return the last hidden states, shape (B, T, D)."""
        x_BTD: Tensor = self.encoder(input_ids, attention_mask, token_type_ids, position_ids)
        return x_BTD


class Pooler(nn.Module):
    """tanh(W x_0 + b) of the first position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return one vector for each example, shape (B, D)."""
        return torch.tanh(self.dense(x_BTD[:, 0]))


class TokenHead(nn.Module):
    """norm(act(W x + b)) E' + c, with the token embedding E."""

    def __init__(self, shape: Shape, vocab: int) -> None:
        super().__init__()
        self.dense = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.norm = make_norm(shape)
        self.bias = nn.Parameter(torch.zeros(vocab))
        self.activation = ACTIVATIONS[shape.hidden_act]

    def forward(self, x_BTD: Tensor, embedding_VD: Tensor) -> Tensor:
        """Return logits over the vocabulary, shape (B, T, V)."""
        x_BTD = self.norm(self.activation(self.dense(x_BTD)))
        return F.linear(x_BTD, embedding_VD, self.bias)


def _may_look(attention_mask_BT: Tensor) -> Tensor:
    """Return what every position may look at, (B, 1, 1, T): all real ones.

    A row without any looks everywhere, so that it stays finite.
    """
    mask = attention_mask_BT.bool()[:, None, None, :]
    return mask | ~mask.any(-1, keepdim=True)
