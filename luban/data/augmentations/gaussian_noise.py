"""Gaussian noise: a recording as it sounds in a room that is not quiet."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from luban.core.contracts import Augmentation, AugmentationContext, Example


class GaussianNoise(Augmentation):
    """White noise, so much softer than the recording as chance says, in decibels."""

    changes: ClassVar[str] = "samples"

    probability: float = Field(default=0.5, ge=0, le=1)
    min_snr_db: float = Field(
        default=10.0, description="Decibels of the recording above the noise."
    )
    max_snr_db: float = Field(default=40.0, description="Likewise, at most.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_snr_db > self.max_snr_db:
            raise ValueError("min_snr_db is at most max_snr_db")
        return self

    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the example with noise added to ``samples``: 20 log10(rms / rms of it) = snr."""
        happens, snr = context.rng.random() < self.probability, context.rng.random()
        if not happens:
            return example
        samples = np.asarray(example["samples"], np.float32)
        ratio = 10 ** ((self.min_snr_db + snr * (self.max_snr_db - self.min_snr_db)) / 20)
        loudness = float(np.sqrt(np.square(samples).mean())) / ratio
        noise = context.rng.standard_normal(len(samples), np.float32) * np.float32(loudness)
        noisy = np.clip(np.rint(samples + noise), -32768, 32767).astype(np.int16)
        return {**example, "samples": noisy}
