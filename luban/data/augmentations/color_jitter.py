"""Vary brightness, contrast and saturation."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import numpy as np
from pydantic import Field

from luban.core.contracts import Augmentation, AugmentationContext, Example

Array: TypeAlias = "np.ndarray[Any, Any]"

#: How bright red, green and blue are (ITU-R 601-2), as in Pillow.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class ColorJitter(Augmentation):
    """Each of the three times a factor drawn evenly from 1 - x to 1 + x, in this order.

    Brightness moves pixels towards black, contrast towards the mean grey of the image, saturation
    towards the grey of each pixel (or away from it).
    """

    changes: ClassVar[str] = "pixels"
    keeps_boxes: ClassVar[bool] = True

    brightness: float = Field(default=0.2, ge=0, le=1)
    contrast: float = Field(default=0.2, ge=0, le=1)
    saturation: float = Field(default=0.2, ge=0, le=1)

    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the example with its colours changed."""
        bright, strong, vivid = 1 + context.rng.uniform(-1, 1, 3) * [
            self.brightness,
            self.contrast,
            self.saturation,
        ]
        pixels = example["pixels"]
        values = pixels * np.float32(bright)
        colours = values.shape[2] == 3
        if self.contrast:
            grey = values @ _LUMA if colours else values
            values = _away(values, grey.mean(), strong)
        if self.saturation and colours:
            values = _away(values, (values @ _LUMA)[:, :, None], vivid)
        return {**example, "pixels": np.clip(np.rint(values), 0, 255).astype(pixels.dtype)}


def _away(values: Array, centre: Any, factor: float) -> Array:
    moved: Array = centre + np.float32(factor) * (values - centre)
    return moved
