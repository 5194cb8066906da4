"""Sort texts into the sorts that training showed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import PrivateAttr
from torch import nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import (
    Baseline,
    Example,
    Examples,
    Guess,
    Metric,
    Record,
    Signature,
    TargetSummary,
    Task,
)
from luban.core.errors import DataError
from luban.core.files import write_json
from luban.nn.losses import cross_entropy


class TextSorting(Task):
    """One of several labels for a text, letter by letter; 0 is padding."""

    _labels: tuple[str, ...] = PrivateAttr(default=())

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with the labels of the training data."""
        return self._with(sorted({_field(record, "label") for record in records}))

    def save(self, folder: Path) -> None:
        """Write ``labels.json``."""
        write_json(folder / "labels.json", list(self._labels))

    def load(self, folder: Path) -> Self:
        """Read ``labels.json``."""
        return self._with(json.loads((folder / "labels.json").read_text(encoding="utf-8")))

    def signature(self) -> Signature:
        """Letters in, labels out."""
        return Signature("tokens", 27, len(self._labels), pad=0)

    @classmethod
    def recognise(cls, sample: Sequence[Record]) -> Guess | None:
        """Read texts of nothing but small letters with a label (the contract ``Recognises``)."""
        texts = [str(record.get("text", "")) for record in sample]
        plain = all(text.isascii() and text.isalpha() and text.islower() for text in texts)
        if not plain or not all("label" in record for record in sample):
            return None
        return Guess(0.97, model={"name": "letter-bag"}, why="texts of letters with a label")

    def encode(self, record: Record) -> Example:
        """Return letters as 1 to 26, and the number of the label."""
        label = self._labels.index(_field(record, "label"))
        return {**self.encode_input(record), "label": np.array(label, np.int64)}

    def encode_input(self, record: Record) -> Example:
        """Return letters as 1 to 26."""
        letters = [ord(c) - 96 for c in _field(record, "text") if "a" <= c <= "z"]
        return {"letters": np.array(letters, np.uint8)}

    def record_schema(self) -> dict[str, Any]:
        """A text."""
        return {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
        }

    def target_summary(self, example: Example) -> TargetSummary:
        """One label per text."""
        return TargetSummary(count=int(len(example["letters"]) > 0))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad texts to the longest."""
        longest = max(len(example["letters"]) for example in examples)
        ids = torch.zeros(len(examples), longest, dtype=torch.int64)
        for row, example in enumerate(examples):
            ids[row, : len(example["letters"])] = torch.from_numpy(example["letters"].astype(int))
        if "label" not in examples[0]:
            return Batch({"input_ids": ids}, {})
        labels = torch.tensor([int(example["label"]) for example in examples])
        return Batch({"input_ids": ids}, {"labels": labels})

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return the cross-entropy of each label."""
        return cross_entropy(model(**batch.inputs), batch.targets["labels"])

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return the likeliest label of each text."""
        best = model(**batch.inputs).argmax(-1).tolist()
        return [self._labels[index] for index in best]

    def target(self, example: Example) -> Any:
        """Return the label."""
        return self._labels[int(example["label"])]

    def metrics(self) -> tuple[Metric, ...]:
        """Return the metric that came with this task, by its name."""
        return (Metric.from_dict("share-right"),)

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return the commonest label."""
        counts = np.bincount(train.flat("label"))
        return {"commonest": lambda example: self._labels[int(counts.argmax())]}

    def _with(self, labels: Sequence[str]) -> Self:
        task = self.model_copy()
        task._labels = tuple(labels)
        return task


def _field(record: Record, name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str):
        raise DataError(f"the record has no {name}.", where=record.get("_where", ""), got=value)
    return value
