"""ROUGE: what a summary and its reference share."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.metadata import version
from typing import Any, ClassVar, Literal

import numpy as np

from luban.core.contracts import Metric, Row
from luban.core.errors import MissingExtra
from luban.metrics._units import units

_SIGNS = re.compile(r"[^\w\s]|_")


class Rouge(Metric):
    """Mean F1 of shared words, word pairs or longest common subsequence (Lin 2004), 0 to 1.

    Computed by rouge_score, with Porter stems. Of several references the best one counts.
    ``characters`` takes each Chinese character as a word (rouge_score itself drops them all).
    """

    type: Literal["rouge1", "rouge2", "rougeL"] = "rouge1"
    tokenize: Literal["words", "characters"] = "words"
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def label(self) -> str:
        """The kind: ``rouge1``."""
        return self.type

    def row(self, prediction: Any, target: Any) -> Row:
        """Return (F1,) of one text with the reference it shares most with."""
        references = list(target["references"]) or [""]
        best = _scorer(self.type, self.tokenize).score_multi(references, prediction["text"])
        return (float(best[self.type].fmeasure),)

    def reduce(self, rows: np.ndarray[Any, Any]) -> float:
        """Return the mean."""
        return float(rows[:, 0].mean())

    def note(self, rows: np.ndarray[Any, Any]) -> str:
        """Say how it was got."""
        how = "by character" if self.tokenize == "characters" else "Porter stems"
        return f"F1, best of the references, {how}; rouge_score {version('rouge_score')}"


class _Characters:
    """Chinese characters one by one, other words and numbers whole; case and signs left out."""

    def tokenize(self, text: str) -> list[str]:
        return units(_SIGNS.sub(" ", text.lower()))


@lru_cache
def _scorer(kind: str, tokenize: str) -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise MissingExtra("rouge-score", "text") from None
    own = _Characters() if tokenize == "characters" else None
    return RougeScorer([kind], use_stemmer=True, tokenizer=own)
