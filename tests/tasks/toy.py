"""The smallest model of texts: the mean of its tokens' vectors, and a linear head."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from luban.core.contracts import Model, Signature


class Bag(Model):
    """Word order does not matter to it."""

    accepts: ClassVar[tuple[str, ...]] = ("tokens",)
    produces: ClassVar[tuple[str, ...]] = ("label",)

    width: int = 8

    def build(self, signature: Signature) -> BagModule:
        self.check(signature)
        return BagModule(signature, self.width)


class BagModule(nn.Module):
    def __init__(self, signature: Signature, width: int) -> None:
        super().__init__()
        self.stem = nn.Embedding(signature.inputs, width)
        self.types = nn.Embedding(signature.segments, width)
        self.blocks = nn.ModuleList()
        self.head = nn.Linear(width, signature.outputs)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        vectors = self.stem(input_ids)
        if token_type_ids is not None:
            vectors = vectors * (1 + self.types(token_type_ids))
        mask = attention_mask[..., None].to(vectors.dtype)
        mixed: Tensor = self.head((vectors * mask).sum(1) / mask.sum(1))
        return mixed
