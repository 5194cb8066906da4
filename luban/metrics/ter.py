"""TER: how many edits make a translation its reference."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np

from luban.core.contracts import Metric, Statistics
from luban.metrics import _sacrebleu


class Ter(Metric):
    """Translation edit rate in percent of reference words (Snover et al. 2006), by sacrebleu.

    Lower is better, and it may exceed 100. ``zh`` divides Chinese into characters.
    """

    tokenize: Literal["tercom", "zh"] = "tercom"
    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    unit: ClassVar[str] = "%"

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return the references, then edits and mean reference length of one sentence."""
        return _sacrebleu.statistics(_scorer(self.tokenize), prediction, target)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return edits over reference words."""
        return _sacrebleu.corpus_score(_scorer(self.tokenize), statistics)

    def note(self, statistics: np.ndarray[Any, Any]) -> str:
        """Return sacrebleu's signature."""
        return _sacrebleu.signature(_scorer(self.tokenize), statistics, statistics[:, 2])


@lru_cache
def _scorer(tokenize: str) -> Any:
    chinese = tokenize == "zh"
    return _sacrebleu.scorer("TER", normalized=chinese, asian_support=chinese)
