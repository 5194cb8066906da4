"""A task with no model: what the data tests encode with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from luban.core.batch import Batch, Losses
from luban.core.contracts import (
    Example,
    Metric,
    Record,
    Signature,
    TargetSummary,
    Task,
    Tokenizer,
)


class ToyTask(Task):
    """Ids of a text and how many there are."""

    tokenizer: Tokenizer

    def learn(self, records: Iterable[Record]) -> Self:
        return self.replace(tokenizer=self.tokenizer.learn(r["text"] for r in records))

    def save(self, folder: Path) -> None:
        self.tokenizer.save(folder)

    def load(self, folder: Path) -> Self:
        return self.replace(tokenizer=self.tokenizer.load(folder))

    def encode(self, record: Record) -> Example:
        return self.encode_batch([record])[0]

    def encode_batch(self, records: Sequence[Record]) -> list[Example]:
        found = self.tokenizer.encode_batch([r["text"] for r in records])
        return [
            {
                "ids": np.array(ids, np.uint16),
                "pair": np.ones((len(ids), 2)),
                "n": np.array(len(ids)),
            }
            for ids in found
        ]

    def target_summary(self, example: Example) -> TargetSummary:
        count = int(example["n"])
        return TargetSummary(count, ends=None, truncated=count > 100)

    def signature(self) -> Signature:
        return Signature("tokens", self.tokenizer.size, self.tokenizer.size)

    def collate(self, examples: Sequence[Example]) -> Batch:
        raise NotImplementedError

    def loss(self, model: Any, batch: Batch) -> Losses:
        raise NotImplementedError

    def predict(self, model: Any, batch: Batch) -> list[Any]:
        raise NotImplementedError

    def target(self, example: Example) -> Any:
        raise NotImplementedError

    def metrics(self) -> tuple[Metric, ...]:
        return ()


def toy(texts: Iterable[str], tokenizer: str = "char") -> ToyTask:
    """A task that has learned from texts."""
    task = ToyTask(tokenizer=Tokenizer.from_dict(tokenizer))
    return task.learn({"text": text} for text in texts)
