"""A task and a module that need no training: how long a text is, and how many of it are vowels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import Example, Metric, Record, Signature, TargetSummary, Task
from luban.core.errors import DataError


class Counting(Task):
    """Predicts {"text", "value", "row"}: the value is the module's, for padding to disturb."""

    def signature(self) -> Signature:
        return Signature("tokens", 256, 1, produces="label")

    def record_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"text": {"type": "string", "minLength": 1}, "pair": {"type": "string"}},
            "required": ["text"],
        }

    def encode(self, record: Record) -> Example:
        return self.encode_input(record)

    def encode_input(self, record: Record) -> Example:
        text = record.get("text")
        if not isinstance(text, str) or not text:
            raise DataError("the record has no text.", where=record.get("_where", ""), got=text)
        example = {"input_ids": np.frombuffer(text.encode(), np.uint8)}
        if "pair" in record:
            example["token_type_ids"] = np.ones(len(example["input_ids"]), np.uint8)
        return example

    def target_summary(self, example: Example) -> TargetSummary:
        return TargetSummary(1)

    def collate(self, examples: Sequence[Example]) -> Batch:
        assert len({tuple(example) for example in examples}) == 1, "one kind in a batch"
        longest = max(len(example["input_ids"]) for example in examples)
        ids = torch.zeros(len(examples), longest, dtype=torch.int64)
        for row, example in enumerate(examples):
            ids[row, : len(example["input_ids"])] = torch.tensor(example["input_ids"].astype(int))
        return Batch({"input_ids": ids}, {})

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        raise NotImplementedError

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        values: Tensor = model(**batch.inputs)
        texts = [
            bytes(ids[ids > 0].tolist()).decode() for ids in batch.inputs["input_ids"].unbind()
        ]
        return [
            {"text": text, "value": value}
            for text, value in zip(texts, values.tolist(), strict=True)
        ]

    def target(self, example: Example) -> Any:
        raise NotImplementedError

    def metrics(self) -> tuple[Metric, ...]:
        return ()


class Counter(nn.Module):
    """The share of each text that is a vowel; remembers the shapes it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, input_ids: Tensor) -> Tensor:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.shapes.append(tuple(input_ids.shape))
        vowels = torch.isin(input_ids, torch.tensor(list(b"aeiou"))).sum(1)
        return self.scale * vowels / (input_ids > 0).sum(1)
