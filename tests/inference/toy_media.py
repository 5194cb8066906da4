"""Tasks over files that need no training: what is in a file, by a module that knows nothing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

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
from luban.core.errors import DataError, UnreadableError
from luban.data.media.images import decode
from luban.data.media.media_files import Media, media_in


class Nothing(nn.Module):
    """Gives back what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, numbers: Tensor) -> Tensor:
        return self.scale * numbers


class _OfFiles(Task):
    field: ClassVar[str]

    def record_schema(self) -> dict[str, Any]:
        file = {"type": "string", "contentEncoding": "base64"}
        return {
            "type": "object",
            "properties": {self.field: file, "note": {"type": "string"}},
            "required": [self.field],
        }

    def media(self, record: Record) -> Media:
        media = media_in(record, self.field)
        if not isinstance(media, Media):
            raise DataError("the record has no file.", where=record.get("_where", ""))
        return media

    def encode(self, record: Record) -> Example:
        return self.encode_input(record)

    def target_summary(self, example: Example) -> TargetSummary:
        return TargetSummary(1)

    def collate(self, examples: Sequence[Example]) -> Batch:
        numbers = np.stack([example["numbers"] for example in examples])
        return Batch({"numbers": torch.tensor(numbers, dtype=torch.float32)}, {})

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        raise NotImplementedError

    def target(self, example: Example) -> Any:
        raise NotImplementedError

    def metrics(self) -> tuple[Metric, ...]:
        return ()


class Seeing(_OfFiles, Illustrated):
    """Tells how wide, high and bright an image is."""

    field: ClassVar[str] = "image"

    def signature(self) -> Signature:
        return Signature("pixels", 3, 1, produces="label", size=(1, 1))

    def encode_input(self, record: Record) -> Example:
        pixels = decode(self.media(record), 3)
        return {"numbers": np.array([pixels.shape[1], pixels.shape[0], pixels.mean()])}

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        return [
            {"width": int(width), "height": int(height), "mean": mean}
            for width, height, mean in model(**batch.inputs).tolist()
        ]

    def show(self, axes: Any, example: Example, prediction: Any, target: Any) -> bool:
        axes.set_title(f"{prediction['width']} x {prediction['height']}")
        return True


class Hearing(_OfFiles):
    """Writes down how many bytes it got, whatever they are; nothing is nothing to hear."""

    field: ClassVar[str] = "audio"

    def signature(self) -> Signature:
        return Signature("frames", 1, 8, produces="alignment")

    def encode_input(self, record: Record) -> Example:
        media = self.media(record)
        if not media.size:
            raise UnreadableError("this recording is empty.", where=media.name)
        return {"numbers": np.array([media.size])}

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        counts = model(**batch.inputs)[:, 0].tolist()
        return [{"text": f"{count:.0f} bytes", "score": -0.5} for count in counts]


def picture(width: int = 6, height: int = 4, shade: int = 200, form: str = "PNG") -> bytes:
    """Return an image of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (shade, shade, shade)).save(file, form)
    return file.getvalue()


def bomb() -> bytes:
    """Return a small file of very many pixels."""
    file = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(file, "PNG")
    return file.getvalue()
