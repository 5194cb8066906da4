"""Tell dark images from light ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import (
    Example,
    Illustrated,
    Metric,
    Record,
    Signature,
    TargetSummary,
    Task,
)
from luban.core.errors import DataError
from luban.data.media.images import decode, fit
from luban.data.media.media_files import media_in
from luban.nn.losses import cross_entropy

LABELS = ("dark", "light")


class ShadeSorting(Task, Illustrated):
    """Grey images, 8 by 8, and which of two shades they are."""

    def signature(self) -> Signature:
        """Pixels in, labels out."""
        return Signature("pixels", 1, 2, produces="label", labels=LABELS, size=(8, 8))

    def record_schema(self) -> dict[str, Any]:
        """An image."""
        image = {"type": "string", "contentEncoding": "base64"}
        return {"type": "object", "properties": {"image": image}, "required": ["image"]}

    def encode(self, record: Record) -> Example:
        """Return the pixels and the number of the label."""
        return {
            **self.encode_input(record),
            "label": np.array(LABELS.index(record["label"]), np.int64),
        }

    def encode_input(self, record: Record) -> Example:
        """Return the pixels."""
        image = media_in(record, "image")
        if image is None:
            raise DataError("the record has no image.", where=record.get("_where", ""))
        return {"pixels": fit(decode(image, 1), (8, 8))}

    def target_summary(self, example: Example) -> TargetSummary:
        """One label an image."""
        return TargetSummary(1)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Stack images."""
        pixels = np.stack([example["pixels"] for example in examples])
        inputs = {"pixel_values": torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255}
        if "label" not in examples[0]:
            return Batch(inputs, {})
        labels = torch.tensor([int(example["label"]) for example in examples])
        return Batch(inputs, {"labels": labels})

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return the cross-entropy of each label."""
        return cross_entropy(model(**batch.inputs), batch.targets["labels"])

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return the likelier label of each image, and how likely it is."""
        best = model(**batch.inputs).softmax(-1).max(-1)
        return [
            {"label": LABELS[index], "score": score}
            for index, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def target(self, example: Example) -> Any:
        """Return the label."""
        return {"label": LABELS[int(example["label"])]}

    def mistake(self, prediction: Any, target: Any) -> float:
        """Return how likely the wrong label was thought to be."""
        return float(prediction["score"]) if prediction["label"] != target["label"] else 0.0

    def show(self, axes: Any, example: Example, prediction: Any, target: Any) -> bool:
        """Draw the image, with the label above it."""
        axes.imshow(example["pixels"][:, :, 0], cmap="gray", vmin=0, vmax=255)
        axes.set_title(prediction["label"])
        return True

    def metrics(self) -> tuple[Metric, ...]:
        """Return the metric that came with this task, by its name."""
        return (Metric.from_dict("shades-right"),)
