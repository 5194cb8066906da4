"""A bag of letters: the mean of their embeddings, and a linear head."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from luban.core.contracts import Model, Signature
from luban.core.errors import RecipeError


class LetterBag(Model):
    """Forgets the order of letters."""

    accepts: ClassVar[tuple[str, ...]] = ("tokens",)
    hidden_size: int = Field(default=8, ge=1)

    def build(self, signature: Signature) -> nn.Module:
        """Return the module with fresh weights."""
        if signature.accepts not in self.accepts:
            raise RecipeError("a letter-bag reads tokens.", where="model", got=signature.accepts)
        return _Bag(signature, self.hidden_size)


class _Bag(nn.Module):
    def __init__(self, signature: Signature, width: int) -> None:
        super().__init__()
        self.pad = signature.pad or 0
        self.stem = nn.Embedding(signature.inputs, width)
        self.head = nn.Linear(width, signature.outputs)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return logits (B, C) of ids (B, T)."""
        there = (input_ids != self.pad).unsqueeze(-1)
        sums = torch.where(there, self.stem(input_ids), 0).sum(1)
        return self.head(sums / there.sum(1).clamp(min=1))  # type: ignore[no-any-return]
