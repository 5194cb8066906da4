"""A small module for tasks over encoders, as a model would build it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from luban.core.contracts import Model, Signature
from luban.nn.crf import CRF


class Encoder(Model):
    """Each position sees itself and the sum of the real ones, and which segment it is in."""

    accepts: ClassVar[tuple[str, ...]] = ("tokens",)
    produces: ClassVar[tuple[str, ...]] = ("tags", "span")

    def build(self, signature: Signature) -> Module:
        return Module(signature)


class Module(nn.Module):
    def __init__(self, signature: Signature) -> None:
        super().__init__()
        self.stem = nn.Embedding(signature.inputs, 8)
        self.types = nn.Embedding(signature.segments, 8)
        self.head = nn.Linear(16, signature.outputs)
        if signature.chain:
            self.transitions = CRF(signature.outputs)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        assert input_ids.dim() == 2
        each = self.stem(input_ids)
        if token_type_ids is not None:
            each = each + self.types(token_type_ids)
        each = each * attention_mask[..., None]
        return self.head(torch.cat([each, each.sum(1, keepdim=True).expand_as(each)], -1))  # type: ignore[no-any-return]


class Told(nn.Module):
    """Gives the logits it was told."""

    def __init__(self, logits: Tensor, chain: nn.Module | None = None) -> None:
        super().__init__()
        self.logits = logits
        self.transitions: Any = chain

    def forward(self, **inputs: Tensor) -> Tensor:
        return self.logits
