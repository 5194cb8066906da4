"""Examples changed at random: a pure function of (seed, epoch, example), whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from luban.core.contracts import Augmentation, AugmentationContext, Example, Examples


@dataclass(frozen=True, slots=True)
class Augmented(Sequence[Any]):
    """A view of stored examples in which each is augmented when it is asked for.

    So neither the number of workers nor a pause changes what an epoch shows.

    Attributes:
        store: The stored examples.
        augmentations: Applied in this order.
        seed: Seed of the run.
        epoch: The epoch.
        first: What is done to every example before (unpacking, say); others are given to mixes
            after it too.
    """

    store: Examples | Sequence[Example]
    augmentations: tuple[Augmentation, ...]
    seed: int
    epoch: int
    first: Callable[[Example], Example] = lambda example: example

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        rng = np.random.default_rng([self.seed, self.epoch, index])
        context = AugmentationContext(
            rng, lambda: self.first(self.store[int(rng.integers(len(self.store)))])
        )
        example = self.first(self.store[index])
        for augmentation in self.augmentations:
            example = augmentation.apply(example, context)
        return example
