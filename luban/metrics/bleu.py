"""BLEU: how many n-grams of a translation stand in a reference."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np

from luban.core.contracts import Metric, Statistics
from luban.metrics import _sacrebleu

_LONGEST = 4  #: units of the longest n-grams


class Bleu(Metric):
    """Corpus BLEU, 0 to 100 (Papineni et al. 2002), as sacrebleu computes it; cased.

    Where no reference has the four units of the longest n-grams, only shorter ones count
    (sacrebleu's effective order): else no prediction could reach more than 0.
    """

    tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a"
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 100.0)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return the references, then lengths and n-gram counts of one sentence."""
        return _sacrebleu.statistics(_scorer(self.tokenize), prediction, target)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return BLEU of the summed counts."""
        if not statistics[:, 1:].any():  # nothing was expected, and nothing said
            return self.best
        return min(_sacrebleu.corpus_score(self._scorer(statistics), statistics), self.best)

    def undefined(self, statistics: np.ndarray[Any, Any]) -> bool:
        """Return whether no reference has a word."""
        return not statistics[:, 2].any()

    def note(self, statistics: np.ndarray[Any, Any]) -> str:
        """Return sacrebleu's signature."""
        return _sacrebleu.signature(self._scorer(statistics), statistics, statistics[:, 2])

    def _scorer(self, statistics: np.ndarray[Any, Any]) -> Any:
        return _scorer(self.tokenize, effective_order=bool(statistics[:, 2].max() < _LONGEST))


@lru_cache
def _scorer(tokenize: str, *, effective_order: bool = False) -> Any:
    options = {"tokenize": tokenize, "effective_order": effective_order}
    return _sacrebleu.scorer("BLEU", **options, force=True)
