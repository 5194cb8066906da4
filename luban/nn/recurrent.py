"""Recurrent layers, one way or both ways.

Shapes: B batch, T time, D width, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luban.nn.crf import CRF
from luban.nn.embedding import TokenEmbedding
from luban.nn.pooling import AttentionPooling, max_over, mean_over

Cell: TypeAlias = Literal["rnn", "lstm", "gru"]
Pooling: TypeAlias = Literal["max", "mean", "attention"]
CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@torch.no_grad()
def draw_cells(layers: nn.RNNBase) -> None:
    """Draw fresh weights: uniform cells, and LSTM forget gates that start open.

    Jozefowicz et al. 2015: a forget bias of 1.
    """
    layers.reset_parameters()
    if isinstance(layers, nn.LSTM):
        for name, bias in layers.named_parameters():
            if name.startswith("bias_hh"):
                bias[layers.hidden_size : 2 * layers.hidden_size] = 1.0


class RecurrentLayer(nn.Module):
    """One layer that reads each row to the right and, in ``both`` ways, from its end back too.

    Rows are turned around within their own length. So padding is never read before the text, as
    with packed sequences, and the layer can still be exported for any length.
    """

    def __init__(self, cell: Cell, inputs: int, width: int, *, both: bool) -> None:
        super().__init__()
        self.right: nn.RNNBase = CELLS[cell](inputs, width, batch_first=True)
        self.left: nn.RNNBase | None = None
        if both:
            self.left = CELLS[cell](inputs, width, batch_first=True)
        self.init_weights()

    def init_weights(self) -> None:
        """Draw fresh weights."""
        draw_cells(self.right)
        if self.left is not None:
            draw_cells(self.left)

    def forward(self, x_BTD: Tensor, turned_BT: Tensor) -> Tensor:
        """Return what was read so far at each position, both ways side by side.

        Args:
            x_BTD: The positions.
            turned_BT: Where to find each position of the rows turned around, from ``turn``.
        """
        right: Tensor = self.right(x_BTD)[0]
        if self.left is None:
            return right
        left: Tensor = self.left(_taken(x_BTD, turned_BT))[0]
        return torch.cat([right, _taken(left, turned_BT)], -1)


def turn(mask_BT: Tensor) -> Tensor:
    """Return places (B, T) that turn each row around, its padding on the right left in place."""
    length_B1 = mask_BT.long().sum(1, keepdim=True)
    at_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
    return torch.where(at_T < length_B1, length_B1 - 1 - at_T, at_T)


def _taken(x_BTD: Tensor, places_BT: Tensor) -> Tensor:
    return x_BTD.gather(1, places_BT[:, :, None].expand(-1, -1, x_BTD.shape[2]))


class RecurrentEncoder(nn.Module):
    """Recurrent layers that read a whole text, for one label of it or a tag at each position."""

    def __init__(  # noqa: PLR0913
        self,
        embedding: TokenEmbedding,
        cell: Cell,
        width: int,
        layers: int,
        outputs: int,
        *,
        both: bool,
        pooling: Pooling | None,
        dropout: float = 0.0,
        chain: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        size = 2 * width if both else width
        inputs = [embedding.words.embedding_dim, *[size] * (layers - 1)]
        self.blocks = nn.ModuleList(RecurrentLayer(cell, n, width, both=both) for n in inputs)
        self.pooling = pooling
        self.attention = AttentionPooling(size) if pooling == "attention" else None
        self.head = nn.Linear(size, outputs)
        if chain:
            self.transitions = CRF(outputs)
        self.dropout = dropout
        for table in embedding.tables:
            nn.init.normal_(table.weight, std=table.embedding_dim**-0.5)

    @property
    def stem(self) -> nn.Embedding:
        """The token embedding."""
        return self.embedding.words

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Return logits, (B, C) for a label and (B, T, C) for tags.

        Args:
            input_ids: Shape (B, T), padded on the right.
            attention_mask: Shape (B, T), 0 at padding (None: no padding).
            token_type_ids: Shape (B, T), which of two texts (None: the first).
        """
        x = self.features(input_ids, attention_mask, token_type_ids)
        if self.attention is not None:
            x = self.attention(x, attention_mask)
        elif self.pooling is not None:
            x = (max_over if self.pooling == "max" else mean_over)(x, attention_mask)
        logits: Tensor = self.head(F.dropout(x, self.dropout, self.training))
        return logits

    def features(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Return what the last layer gives at each position, shape (B, T, D)."""
        x_BTD: Tensor = self.embedding(input_ids, token_type_ids)
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        turned_BT = turn(mask_BT)
        for index, block in enumerate(self.blocks):
            if index:
                x_BTD = F.dropout(x_BTD, self.dropout, self.training)
            x_BTD = block(x_BTD, turned_BT)
        return x_BTD
