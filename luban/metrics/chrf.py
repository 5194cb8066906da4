"""chrF: how many character n-grams of a translation stand in a reference, and back."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from luban.core.contracts import Metric, Statistics
from luban.metrics import _sacrebleu


class Chrf(Metric):
    """chrF2, 0 to 100 (Popović 2015), as sacrebleu computes it; needs no tokenizer."""

    word_order: int = Field(default=0, ge=0, le=2, description="Word n-grams too; 2 is chrF++.")
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 100.0)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return the references, then n-gram counts of one sentence."""
        return _sacrebleu.statistics(_scorer(self.word_order), prediction, target)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return chrF of the summed counts."""
        if not statistics[:, 1:].any():  # nothing was expected, and nothing said
            return self.best
        return min(_sacrebleu.corpus_score(_scorer(self.word_order), statistics), self.best)

    def note(self, statistics: np.ndarray[Any, Any]) -> str:
        """Return sacrebleu's signature."""
        return _sacrebleu.signature(_scorer(self.word_order), statistics, statistics[:, 2])


@lru_cache
def _scorer(word_order: int) -> Any:
    return _sacrebleu.scorer("CHRF", word_order=word_order)
