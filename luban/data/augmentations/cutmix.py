"""Replace a rectangle of an image by that of another; each counts by its area."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field

from luban.core.contracts import Augmentation, AugmentationContext, Example
from luban.data.augmentations._parts import rectangle
from luban.data.views.mixed_labels import mixed_labels


class Cutmix(Augmentation):
    """A rectangle of another image in this one (Yun et al. 2019, 1905.04899).

    Its area is drawn from Beta(alpha, alpha), its centre evenly; what lies outside is cut off.
    The target holds both labels by the area that is left. The other image is as it is stored;
    what changes both stands after this in the list.
    """

    changes: ClassVar[str] = "pixels"
    mixes: ClassVar[bool] = True

    alpha: float = Field(default=1.0, gt=0)
    probability: float = Field(default=0.5, ge=0, le=1)

    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the mix, or the example as it is."""
        if context.rng.random() >= self.probability:
            return example
        side = math.sqrt(context.rng.beta(self.alpha, self.alpha))
        place = rectangle(example["pixels"].shape, (side, side), context.rng)
        pixels, other = example["pixels"].copy(), context.other()
        there = pixels[place]
        there[...] = other["pixels"][place]
        share = there.size / pixels.size
        return {**example, "pixels": pixels, **mixed_labels(example, other, share)}
