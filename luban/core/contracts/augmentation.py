"""What changes training examples at random."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from luban.core.component import Component
from luban.core.contracts.examples import Example

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class AugmentationContext:
    """The dice of one example in one epoch: a pure function of (seed, epoch, example).

    Attributes:
        rng: The generator.
        other: Returns another stored training example, drawn by ``rng``: what mixes are made of.
    """

    rng: np.random.Generator
    other: Callable[[], Example]


class Augmentation(Component, ABC):
    """Changes training examples at random, so that no epoch sees quite the same ones."""

    kind: ClassVar[str] = "augmentations"
    #: What it changes: the field of an example, ``pixels`` or ``samples``, say.
    changes: ClassVar[str]
    #: Whether ``boxes`` of an example, if there are any, still hold afterwards.
    keeps_boxes: ClassVar[bool] = False
    #: Whether it asks for other examples and lays them in: then labels hold by shares.
    mixes: ClassVar[bool] = False

    @property
    def stretch(self) -> float:
        """How many times as long an example becomes at most (sound: where speed changes)."""
        return 1.0

    @abstractmethod
    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the example changed; its arrays may be views of a file and are not written to.

        All chance comes from ``context.rng``, and what is drawn does not depend on the pixels or
        samples. What goes with them (boxes) is changed along.
        """
