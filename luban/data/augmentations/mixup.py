"""Lay two images over each other; each counts by its share."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from luban.core.contracts import Augmentation, AugmentationContext, Example
from luban.data.views.mixed_labels import mixed_labels


class Mixup(Augmentation):
    """The weighted mean of an image and another (Zhang et al. 2017, 1710.09412).

    The weight is drawn from Beta(alpha, alpha); the target becomes the same mean of both labels.
    The other image is as it is stored; what changes both stands after this in the list.
    """

    changes: ClassVar[str] = "pixels"
    mixes: ClassVar[bool] = True

    alpha: float = Field(default=0.2, gt=0)
    probability: float = Field(default=1.0, ge=0, le=1)

    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the mix, or the example as it is."""
        if context.rng.random() >= self.probability:
            return example
        share, other = context.rng.beta(self.alpha, self.alpha), context.other()
        own = example["pixels"]
        mixed = own * np.float32(1 - share) + other["pixels"] * np.float32(share)
        pixels = np.rint(mixed).astype(own.dtype)
        return {**example, "pixels": pixels, **mixed_labels(example, other, share)}
