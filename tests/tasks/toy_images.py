"""Images of random pixels, and the task that labels them."""

from __future__ import annotations

from typing import Any

import numpy as np

from luban.core.contracts import Task
from luban.tasks.image_classification import ImageClassification


def pixels(seed: int, height: int = 8, width: int = 8, channels: int = 3) -> Any:
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def records(count: int = 12, classes: str = "abc", **form: int) -> list[dict[str, Any]]:
    return [
        {"image": pixels(row, **form), "label": classes[row % len(classes)], "_where": f"p:{row}"}
        for row in range(count)
    ]


def task(**fields: Any) -> ImageClassification:
    made = Task.from_dict({"name": "image-classification", **fields})
    assert isinstance(made, ImageClassification)
    return made
