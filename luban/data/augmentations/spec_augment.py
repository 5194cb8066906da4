"""SpecAugment: features with bands and stretches of time taken away."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from luban.core.contracts import Augmentation, AugmentationContext, Example


class SpecAugment(Augmentation):
    """Masks of random width over bands and over frames (Park et al. 2019, 1904.08779).

    What is masked becomes the mean of the features. Time is not warped: the paper finds that it
    helps least.
    """

    changes: ClassVar[str] = "features"

    frequency_masks: int = Field(default=2, ge=0, le=1_024)
    frequency_width: float = Field(
        default=0.2, ge=0, le=1, description="Largest share of the bands that a mask hides."
    )
    time_masks: int = Field(default=2, ge=0, le=1_024)
    time_width: float = Field(
        default=0.1, ge=0, le=1, description="Largest share of the frames that a mask hides."
    )

    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the example with masks in ``features`` (F, M)."""
        features = np.array(example["features"])
        mean = features.mean()
        for axis, masks, share in (
            (1, self.frequency_masks, self.frequency_width),
            (0, self.time_masks, self.time_width),
        ):
            size = features.shape[axis]
            for width, start in context.rng.random((masks, 2)):
                hidden = int(width * (share * size + 1))
                first = int(start * (size - hidden + 1))
                part = slice(first, min(first + hidden, size))
                features[(slice(None), part) if axis else part] = mean
        return {**example, "features": features}
