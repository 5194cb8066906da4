"""chrF: how many character n-grams of a translation stand in a reference, and back."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from luban.core.contracts import Metric, Row
from luban.metrics import _sacrebleu


class Chrf(Metric):
    """chrF2, 0 to 100 (Popović 2015), as sacrebleu computes it; needs no tokenizer."""

    word_order: int = Field(default=0, ge=0, le=2, description="Word n-grams too; 2 is chrF++.")
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 100.0)

    def row(self, prediction: Any, target: Any) -> Row:
        """Return the references, then n-gram counts of one sentence."""
        return _sacrebleu.statistics(_scorer(self.word_order), prediction, target)

    def reduce(self, rows: np.ndarray[Any, Any]) -> float:
        """Return chrF of the summed counts."""
        if not rows[:, 1:].any():  # nothing was expected, and nothing said
            return self.best
        return min(_sacrebleu.corpus_score(_scorer(self.word_order), rows), self.best)

    def note(self, rows: np.ndarray[Any, Any]) -> str:
        """Return sacrebleu's signature."""
        return _sacrebleu.signature(_scorer(self.word_order), rows, rows[:, 2])


@lru_cache
def _scorer(word_order: int) -> Any:
    return _sacrebleu.scorer("CHRF", word_order=word_order)
