"""Fields of unknown records that hold images, and the training that suits these."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from luban.core.errors import DataError
from luban.data.media.images import decode
from luban.data.media.media_files import Array, holds_media, media_in

_TRIED = 8  #: values of a field that must be images


SMALL = 64  #: pixels a side, up to which a plain network of few layers does


def median_size(images: Sequence[Array], most: int) -> tuple[float, float]:
    """Return the usual height and width, made smaller so that neither exceeds ``most``."""
    height, width = np.median([pixels.shape[:2] for pixels in images], axis=0)
    scale = min(1.0, most / max(height, width))
    return float(height * scale), float(width * scale)


def image_training(
    examples: int, batch_size: int, steps: int, learning_rate: float
) -> dict[str, Any]:
    """Return a training of so many steps; of fewer where that were more than 200 epochs."""
    steps = min(steps, max(100, 200 * examples // batch_size))
    return {
        "max_steps": steps,
        "batch_size": batch_size,
        "optimizer": {"name": "adamw", "learning_rate": learning_rate},
        "schedule": {"name": "cosine", "warmup_ratio": 0.1},
        "eval_steps": steps // 10,
    }


def image_field(fields: dict[str, list[Any]]) -> tuple[str, list[Array]]:
    """Return the first field that holds images, and some of these; no images if none does."""
    found = ((name, images_in(name, column)) for name, column in fields.items())
    return next(((name, images) for name, images in found if images), ("", []))


def images_in(name: str, column: list[Any]) -> list[Array]:
    """Return some images of a column; none if it is one of other things."""
    if not all(holds_media(value) for value in column):
        return []
    images: list[Array] = []
    for value in islice(column, _TRIED):
        try:
            media = media_in({name: value}, name)
            if media is None:
                return []
            images.append(decode(media, 3))
        except DataError:  # one may be damaged
            continue
    return images
