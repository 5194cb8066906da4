"""The longest stretch of a text that stands word for word in the training text."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import PrivateAttr

from luban.core.contracts import Metric, Statistics


class Memorisation(Metric):
    """Characters of the longest verbatim overlap with a reference text.

    Compare the figure of samples with that of real unseen text of the same length: unseen text
    shares phrases with the training text too; only the excess is memorisation.
    """

    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    unit: ClassVar[str] = "characters"
    _text: str = PrivateAttr(default="")

    def against(self, text: str) -> Self:
        """Return this metric with the text to look for overlaps in."""
        metric = self.model_copy()
        metric._text = text
        return metric

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (longest overlap, length) of one text, in characters."""
        return (float(longest_overlap(prediction, self._text)), float(len(prediction)))

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the mean of the longest overlaps."""
        return float(statistics[:, 0].mean())


def longest_overlap(text: str, reference: str) -> int:
    """Return the length of the longest substring of ``text`` found in ``reference``.

    A window over ``text`` grows while it is found and slides on by one when it is not.
    """
    best = start = 0
    while start + best < len(text):
        if text[start : start + best + 1] in reference:
            best += 1
        else:
            start += 1
    return best
