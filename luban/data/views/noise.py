"""Noise that goes with examples: a pure function of (seed, epoch, example), whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np

from luban.core.contracts import Example, View

Array: TypeAlias = "np.ndarray[Any, Any]"

_LABELS, _NOISE = 1, 2  #: what is drawn; each has a stream of its own


@dataclass(eq=False)
class Noised(View):
    """A view of examples with a new ``noise_key`` in each epoch; some are not told their label.

    Attributes:
        examples: The examples, perhaps augmented.
        seed: Seed of the run.
        epoch: The epoch.
        share: Share of examples whose label is not told.
        unknown: The label number that says so; 0 if examples have no labels.
    """

    examples: Sequence[Example]
    seed: int
    epoch: int
    share: float = 0.0
    unknown: int = 0

    def __len__(self) -> int:
        return len(self.examples)

    def example(self, index: int) -> Example:
        """Return an example with its ``noise_key``."""
        key = np.array([self.seed, self.epoch, index], np.int64)
        example = {**self.examples[index], "noise_key": key}
        if self.unknown and _dice(key, _LABELS).random() < self.share:
            example["label"] = np.asarray(self.unknown, np.int32)
        return example


def noise_of(key: Array, shape: Sequence[int]) -> tuple[Array, float]:
    """Return standard normal noise, float32 of a shape, and a number in [0, 1)."""
    dice = _dice(key, _NOISE)
    uniform = float(np.float32(dice.random()))
    return dice.standard_normal(tuple(shape), np.float32), min(uniform, 1 - 2**-24)


def content_key(pixels: Array) -> Array:
    """Return a key that depends on the example alone, int64 (1,)."""
    digest = blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=7).digest()
    return np.array([int.from_bytes(digest, "big")], np.int64)


def _dice(key: Array, stream: int) -> np.random.Generator:
    return np.random.default_rng([*(int(part) for part in key.ravel()), stream])
