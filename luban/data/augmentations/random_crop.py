"""Shift images: pad them, and cut their own size out again."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from luban.core.contracts import Augmentation, AugmentationContext, Example
from luban.data.media.boxes import moved_along


class RandomCrop(Augmentation):
    """A cut of the padded image, as large as the image was, wherever it falls.

    So the image moves by up to ``padding`` pixels each way; what was not there is mirrored
    (``reflect``), black (``constant``) or the edge drawn out (``edge``).
    """

    changes: ClassVar[str] = "pixels"
    keeps_boxes: ClassVar[bool] = True

    padding: int = Field(default=4, ge=1, le=1_048_576, description="Pixels it may move each way.")
    padding_mode: Literal["reflect", "constant", "edge"] = "reflect"

    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the example with its image moved."""
        down, right = context.rng.integers(-self.padding, self.padding + 1, 2).tolist()
        pixels = example["pixels"]
        height, width = pixels.shape[:2]
        if self.padding_mode == "constant":
            moved = np.zeros_like(pixels)
            (to_y, of_y), (to_x, of_x) = _overlap(height, down), _overlap(width, right)
            moved[to_y, to_x] = pixels[of_y, of_x]
        else:
            rows, columns = (
                _places(height, down, self.padding_mode),
                _places(width, right, self.padding_mode),
            )
            moved = pixels.take(rows, 0).take(columns, 1)
        along = moved_along(example, (height, width), (1.0, 1.0), (down, right))
        return {**example, "pixels": moved, **along}


def _overlap(length: int, shift: int) -> tuple[slice, slice]:
    """Return where a shifted axis goes to, and what of it stays."""
    shift = max(-length, min(length, shift))
    if shift >= 0:
        return slice(shift, length), slice(0, length - shift)
    return slice(0, length + shift), slice(-shift, length)


@lru_cache(maxsize=1024)
def _places(length: int, shift: int, mode: str) -> np.ndarray[Any, Any]:
    """Return from which place each place of an axis takes its pixels."""
    places = np.arange(length) - shift
    if mode == "edge" or length == 1:
        return places.clip(0, length - 1)
    period = 2 * (length - 1)  # 0 1 2 1 0 1 2 …: the edge itself is not doubled
    places %= period
    return np.minimum(places, period - places)
