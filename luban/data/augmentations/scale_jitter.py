"""Come nearer or go away: an image larger or smaller than it was, moved, in its old frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from luban.core.contracts import Augmentation, AugmentationContext, Example
from luban.core.extras import require
from luban.data.media.boxes import VISIBLE, moved_along
from luban.data.media.images import PADDING

if TYPE_CHECKING:
    from PIL.Image import Image


class ScaleJitter(Augmentation):
    """The image scaled by a factor, somewhere in its frame; what is free around it is grey.

    The logarithms of the factor and of the change of proportions are drawn evenly, and so is the
    place: a larger image fills the frame, a smaller one lies in it whole (scale jittering:
    Ghiasi et al. 2020, 2012.07177). ``boxes`` go along; those cut to less than
    ``min_visible`` of their area are dropped.
    """

    changes: ClassVar[str] = "pixels"
    keeps_boxes: ClassVar[bool] = True

    scale: tuple[float, float] = Field(default=(0.7, 1.4), description="Of height and width.")
    ratio: tuple[float, float] = Field(default=(0.85, 1.18), description="Width to height.")
    probability: float = Field(default=1.0, ge=0, le=1)
    min_visible: float = Field(default=VISIBLE, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("scale", "ratio"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: two rising numbers above 0")
        return self

    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the example with its image scaled and moved, or as it is."""
        if context.rng.random() >= self.probability:
            return example
        factor, ratio = (
            math.exp(context.rng.uniform(math.log(low), math.log(high)))
            for low, high in (self.scale, self.ratio)
        )
        scale = (factor / math.sqrt(ratio), factor * math.sqrt(ratio))
        pixels = example["pixels"]
        size = pixels.shape[:2]
        down, right = (
            float(length * (1 - by) * at)
            for length, by, at in zip(size, scale, context.rng.random(2).tolist(), strict=True)
        )
        along = moved_along(example, size, scale, (down, right), visible=self.min_visible)
        return {**example, "pixels": _moved(pixels, scale, (down, right)), **along}


def _moved(
    pixels: np.ndarray[Any, Any], scale: tuple[float, float], offset: tuple[float, float]
) -> np.ndarray[Any, Any]:
    pillow = require("PIL.Image", "vision", "pillow")
    grey = pixels.shape[2] == 1
    image: Image = pillow.fromarray(pixels[:, :, 0] if grey else pixels)
    (down, across), (top, left) = scale, offset
    moved = image.transform(
        image.size,
        pillow.Transform.AFFINE,  # from new to old
        (1 / across, 0, -left / across, 0, 1 / down, -top / down),
        pillow.Resampling.BILINEAR,
        fillcolor=PADDING if grey else (PADDING,) * 3,
    )
    return np.array(moved).reshape(pixels.shape)
