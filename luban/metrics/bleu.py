"""BLEU: how many n-grams of a translation stand in a reference."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np

from luban.core.contracts import Metric, Row
from luban.metrics import _sacrebleu


class Bleu(Metric):
    """Corpus BLEU, 0 to 100 (Papineni et al. 2002), as sacrebleu computes it; cased."""

    tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a"
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 100.0)

    def row(self, prediction: Any, target: Any) -> Row:
        """Return the references, then lengths and n-gram counts of one sentence."""
        return _sacrebleu.statistics(_scorer(self.tokenize), prediction, target)

    def reduce(self, rows: np.ndarray[Any, Any]) -> float:
        """Return BLEU of the summed counts."""
        return _sacrebleu.corpus_score(_scorer(self.tokenize), rows)

    def undefined(self, rows: np.ndarray[Any, Any]) -> bool:
        """Return whether no text has four words."""
        return not rows[:, -1].any()

    def note(self, rows: np.ndarray[Any, Any]) -> str:
        """Return sacrebleu's signature."""
        return _sacrebleu.signature(_scorer(self.tokenize), rows)


@lru_cache
def _scorer(tokenize: str) -> Any:
    return _sacrebleu.scorer("BLEU", tokenize=tokenize, force=True)
