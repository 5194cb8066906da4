"""Speed perturbation: a recording as if it had been spoken faster or slower."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from luban.core.contracts import Augmentation, AugmentationContext, Example


class SpeedPerturbation(Augmentation):
    """Faster and higher, or slower and lower, as a tape would be (Ko et al. 2015, Interspeech).

    Samples in between are taken from the line through their neighbours.
    """

    changes: ClassVar[str] = "samples"

    probability: float = Field(default=1.0, ge=0, le=1)
    min_speed: float = Field(default=0.9, gt=0.1, le=1)
    max_speed: float = Field(default=1.1, ge=1, lt=10)

    @model_validator(mode="after")
    def _differs(self) -> Self:
        if self.min_speed == self.max_speed:
            raise ValueError("min_speed and max_speed are both 1: nothing would change")
        return self

    @property
    def stretch(self) -> float:
        """What the slowest makes of a recording."""
        return 1 / self.min_speed

    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the example with ``samples`` of another length, T / speed."""
        happens, share = context.rng.random() < self.probability, context.rng.random()
        if not happens:
            return example
        speed = self.min_speed + share * (self.max_speed - self.min_speed)
        samples = np.asarray(example["samples"])
        places = np.arange(max(1, round(len(samples) / speed))) * speed
        found = np.interp(places, np.arange(len(samples)), samples)
        return {**example, "samples": np.rint(found).astype(np.int16)}
