"""Convolutions over text.

Shapes: B batch, T time, D width, F filters, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luban.nn.embedding import TokenEmbedding


class ConvolutionalEncoder(nn.Module):
    """relu(convolutions), the largest value of each filter, a linear head (Kim 2014, 1408.5882)."""

    def __init__(
        self,
        embedding: TokenEmbedding,
        kernel_sizes: Sequence[int],
        filters: int,
        outputs: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        width = embedding.words.embedding_dim
        self.convolutions = nn.ModuleList(nn.Conv1d(width, filters, k) for k in kernel_sizes)
        self.blocks = nn.ModuleList()  # side by side, so none comes before another
        self.head = nn.Linear(filters * len(kernel_sizes), outputs)
        self.kernel_sizes, self.dropout = tuple(kernel_sizes), dropout
        for table in embedding.tables:
            nn.init.uniform_(table.weight, -0.25, 0.25)

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
        """Return logits, shape (B, C).

        Only windows inside the text count; a text shorter than a window is filled with zeros.

        Args:
            input_ids: Shape (B, T), padded on the right.
            attention_mask: Shape (B, T), 0 at padding (None: no padding).
            token_type_ids: Shape (B, T), which of two texts (None: the first).
        """
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        x_BTD = self.embedding(input_ids, token_type_ids)
        x_BDT = (x_BTD * mask_BT[:, :, None].to(x_BTD.dtype)).transpose(1, 2)
        length_B1 = mask_BT.long().sum(1, keepdim=True)
        at_T = torch.arange(input_ids.shape[1], device=input_ids.device)
        pooled = []
        for size, convolution in zip(self.kernel_sizes, self.convolutions, strict=True):
            y_BFT = F.relu(convolution(F.pad(x_BDT, (0, size - 1))))
            inside_BT = at_T <= (length_B1 - size).clamp(min=0)
            # What relu gives is never below zero.
            pooled.append(y_BFT.masked_fill(~inside_BT[:, None], 0).amax(2))
        x = F.dropout(torch.cat(pooled, 1), self.dropout, self.training)
        logits: Tensor = self.head(x)
        return logits
