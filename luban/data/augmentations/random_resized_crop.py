"""Cut out a random part of an image and enlarge it to the whole."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from luban.core.contracts import Augmentation, AugmentationContext, Example
from luban.data.augmentations._parts import check_bounds, shares_of
from luban.data.media.boxes import moved_along
from luban.data.media.images import fit


class RandomResizedCrop(Augmentation):
    """A part of the image at its full size (Szegedy et al. 2015, 1409.4842, section 6).

    Its area is a share of the image's, drawn evenly from ``scale``; its proportions are those of
    the image times a ratio whose logarithm is drawn evenly.
    """

    changes: ClassVar[str] = "pixels"
    keeps_boxes: ClassVar[bool] = True

    scale: tuple[float, float] = Field(default=(0.25, 1.0), description="Share of the area.")
    ratio: tuple[float, float] = Field(default=(0.75, 4 / 3), description="Width to height.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        check_bounds(self.scale, self.ratio)
        return self

    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the example with a part of its image."""
        shares = shares_of(context.rng, self.scale, self.ratio)
        down, right = context.rng.random(2)
        pixels = example["pixels"]
        size = pixels.shape[:2]
        height, width = (
            min(length, max(1, round(length * share)))
            for length, share in zip(size, shares, strict=True)
        )
        top, left = int(down * (size[0] - height + 1)), int(right * (size[1] - width + 1))
        part = pixels[top : top + height, left : left + width]
        scale = (size[0] / height, size[1] / width)
        along = moved_along(example, size, scale, (-top * scale[0], -left * scale[1]))
        return {**example, "pixels": fit(part, size, "stretch"), **along}
