"""Word error rate: how many words of a transcript are wrong."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from luban.core.contracts import Metric, Statistics
from luban.metrics._edits import kinds, rate, word_edits


class WordErrorRate(Metric):
    """Words replaced, missing or added, over those of all references, by jiwer.

    Lower is better, and it may exceed 1. In scripts without blanks a
    character is a word by itself.
    """

    normalised: str = Field(
        default="", description="What was done to both texts before, for the note."
    )
    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return the edits of each kind, and the words of the reference."""
        return word_edits(prediction["text"], target["text"])

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return all edits over all words of references."""
        return rate(statistics)

    def note(self, statistics: np.ndarray[Any, Any]) -> str:
        """Return how many edits of each kind there were, and of what texts."""
        return kinds(statistics) + (f"; {self.normalised}" if self.normalised else "")
