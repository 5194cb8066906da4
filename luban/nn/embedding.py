"""Tokens as vectors, for models without positions of their own.

Shapes: B batch, T time, D width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class TokenEmbedding(nn.Module):
    """The vector of each token plus, where there are several texts, of the text it is in."""

    def __init__(self, vocab: int, width: int, segments: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.words = nn.Embedding(vocab, width)
        self.segments = nn.Embedding(segments, width) if segments > 1 else None
        self.dropout = dropout

    @property
    def tables(self) -> list[nn.Embedding]:
        """All tables there are."""
        return [self.words] if self.segments is None else [self.words, self.segments]

    def forward(self, input_ids_BT: Tensor, token_type_ids_BT: Tensor | None = None) -> Tensor:
        """Return vectors (B, T, D); without ``token_type_ids`` all is in the first text."""
        x_BTD: Tensor = self.words(input_ids_BT)
        if self.segments is not None:
            table, ids = self.segments, token_type_ids_BT
            x_BTD = x_BTD + (table.weight[0] if ids is None else table(ids))
        return F.dropout(x_BTD, self.dropout, self.training)
