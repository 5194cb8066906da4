"""Hide a rectangle of an image, so that no single part decides."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from luban.core.contracts import Augmentation, AugmentationContext, Example
from luban.data.augmentations._parts import check_bounds, rectangle, shares_of


class RandomErasing(Augmentation):
    """Random erasing (Zhong et al. 2017, 1708.04896), which Cutout (1708.04552) is a case of.

    The rectangle's share of the area and the logarithm of its proportions are drawn evenly; it
    may jut out, as in Cutout.
    """

    changes: ClassVar[str] = "pixels"
    keeps_boxes: ClassVar[bool] = True

    probability: float = Field(default=0.5, ge=0, le=1)
    scale: tuple[float, float] = Field(default=(0.02, 0.33), description="Share of the area.")
    ratio: tuple[float, float] = Field(default=(0.5, 2.0), description="Width to height.")
    value: Literal["mean", "random"] = Field(
        default="mean", description="The mean of the image, or random colours."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        check_bounds(self.scale, self.ratio)
        return self

    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the example with a part hidden, or as it is."""
        if context.rng.random() >= self.probability:
            return example
        shares = shares_of(context.rng, self.scale, self.ratio)
        pixels = example["pixels"].copy()
        hidden = pixels[rectangle(pixels.shape, shares, context.rng)]
        if self.value == "mean":
            hidden[...] = pixels.mean((0, 1)).round()
        else:
            hidden[...] = context.rng.integers(0, 256, hidden.shape)
        return {**example, "pixels": pixels}
