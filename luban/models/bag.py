"""A bag of n-grams: what is said counts, and hardly where."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from luban.core.contracts import Model, Signature
from luban.core.sizes import MAX_PARTS, Span
from luban.nn.ngrams import PRIME, ngram_hashes


class Bag(Model):
    """The classifier of fastText: a linear head over averaged vectors of tokens and n-grams.

    Joulin et al. 2016, 1607.01759. N-grams share a table by hash, so that any may come. It trains
    in seconds and knows no order beyond its longest n-gram. Weight decay is what keeps it from
    learning rare n-grams by heart: about 1 with ``adamw`` at a rate of 0.005.
    """

    accepts: ClassVar[tuple[str, ...]] = ("tokens",)
    produces: ClassVar[tuple[str, ...]] = ("label",)

    embedding_size: int = Field(default=32, ge=1, le=1_048_576)
    ngrams: tuple[Span, ...] = Field(
        default=(2,),
        max_length=MAX_PARTS,
        description="Tokens in a row that have a vector, beside those of each token.",
    )
    buckets: int = Field(default=65536, ge=1, le=PRIME, description="Vectors n-grams share.")
    pooling: Literal["mean", "sqrt"] = Field(
        default="sqrt",
        description=(
            "What the sum of n vectors is divided by: n (fastText), or its root, so that a long "
            "text says as much as a short one."
        ),
    )
    ngram_dropout: float = Field(
        default=0.3, ge=0, lt=1, description="Share of tokens and n-grams left out in training."
    )

    @field_validator("ngrams")
    @classmethod
    def _several(cls, ngrams: tuple[int, ...]) -> tuple[int, ...]:
        if not ngrams or min(ngrams) < 2:
            raise ValueError("at least one length, each at least 2: single tokens always count")
        if len(set(ngrams)) < len(ngrams):
            raise ValueError("each length once")
        return ngrams

    def build(self, signature: Signature) -> BagOfNgrams:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the task is not one over tokens that asks for a label.
        """
        self.check(signature)
        return BagOfNgrams(self, signature.inputs, signature.segments, signature.outputs)

    def flops_per_token(self, signature: Signature, parameters: int) -> float:
        """Return an addition for each number looked up, one of its gradient, and 6 for the head.

        ``parameters`` is not read: most of them are the tables.
        """
        looked_up = self.embedding_size * (1 + len(self.ngrams))
        head = self.embedding_size * signature.outputs
        return 2.0 * looked_up + 6.0 * head / max(1, signature.length)


class BagOfNgrams(nn.Module):
    """Vectors of tokens and n-grams, their average, a linear head.

    Shapes: B batch, T time, D width, C outputs.
    """

    def __init__(self, bag: Bag, vocab: int, segments: int, outputs: int) -> None:
        super().__init__()
        width = bag.embedding_size
        self.vocab, self.buckets, self.ngrams = vocab, bag.buckets, bag.ngrams
        self.pooling, self.dropout = bag.pooling, bag.ngram_dropout
        self.stem = nn.Embedding(vocab * segments, width)  # of two texts, each has its own words
        self.table = nn.Embedding(bag.buckets, width)
        self.blocks = nn.ModuleList()
        self.head = nn.Linear(width, outputs)
        for table in (self.stem, self.table):
            nn.init.uniform_(table.weight, -1 / width, 1 / width)  # as fastText does

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Return logits, shape (B, C).

        Args:
            input_ids: Shape (B, T), padded on the right.
            attention_mask: Shape (B, T), 0 at padding (None: no padding).
            token_type_ids: Shape (B, T), which of two texts (None: the first).
        """
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
        ids_BT = input_ids if token_type_ids is None else input_ids + self.vocab * token_type_ids
        x_BD, count_B1 = self._sum(self.stem, ids_BT, mask_BT)
        for n in self.ngrams:
            hashed_BT, inside_BT = ngram_hashes(ids_BT, mask_BT, n)
            more_BD, more_B1 = self._sum(self.table, hashed_BT % self.buckets, inside_BT)
            x_BD, count_B1 = x_BD + more_BD, count_B1 + more_B1
        count_B1 = count_B1.clamp(min=1).to(x_BD.dtype)
        x_BD = x_BD / (count_B1 if self.pooling == "mean" else count_B1.sqrt())
        logits: Tensor = self.head(x_BD)
        return logits

    def _sum(self, table: nn.Embedding, ids_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the vectors that the mask keeps, (B, D), and their number, (B, 1)."""
        x_BTD = table(ids_BT)
        kept_BT = F.dropout(mask_BT.to(x_BTD.dtype), self.dropout, self.training)
        return (x_BTD * kept_BT[:, :, None]).sum(1), mask_BT.sum(1, keepdim=True)
