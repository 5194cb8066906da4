"""Examples changed at random: a pure function of (seed, epoch, example), whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from luban.core.contracts import Augmentation, AugmentationContext, Example, Examples, View


@dataclass(eq=False)
class Augmented(View):
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

    def example(self, index: int) -> Example:
        """Return an example, changed as chance has it."""
        rng = np.random.default_rng([self.seed, self.epoch, index])
        context = AugmentationContext(
            rng, lambda: self.first(self.store[int(rng.integers(len(self.store)))])
        )
        example = self.first(self.store[index])
        for augmentation in self.augmentations:
            example = augmentation.apply(example, context)
        return example
