"""ROUGE: what a summary and its reference share."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import Any, ClassVar, Literal

import numpy as np

from luban.core.contracts import Metric, Statistics
from luban.core.extras import require
from luban.metrics._units import lexical_units


class Rouge(Metric):
    """Mean F1 of shared words, word pairs or longest common subsequence (Lin 2004), 0 to 1.

    Computed by rouge_score, over words of any script (it drops all but ``a-z0-9`` itself); in
    scripts without blanks a character is a word, and of a text without words each sign is one.
    ``words`` takes English words by their Porter stems, as rouge_score does, ``characters`` as
    they are. Of several references the best one counts.
    """

    type: Literal["rouge1", "rouge2", "rougeL"] = "rouge1"
    tokenize: Literal["words", "characters"] = "words"
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def label(self) -> str:
        """The kind: ``rouge1``."""
        return self.type

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (F1,) of one text with the reference it shares most with."""
        references = list(target["references"]) or [""]
        if not prediction["text"].strip() and not all(map(str.strip, references)):
            return (1.0,)
        best = _scorer(self.type, self.tokenize).score_multi(references, prediction["text"])
        return (float(best[self.type].fmeasure),)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the mean."""
        return float(statistics[:, 0].mean())

    def note(self, statistics: np.ndarray[Any, Any]) -> str:
        """Say how it was got."""
        how = "by character" if self.tokenize == "characters" else "Porter stems"
        return f"F1, best of the references, {how}; rouge_score {version('rouge_score')}"


class _Words:
    """Words of any script in lower case; those of ASCII by their stems, if asked."""

    def __init__(self, english: Any) -> None:
        self._english = english

    def tokenize(self, text: str) -> list[str]:
        return [self._stem(word) for word in lexical_units(text)]

    def _stem(self, word: str) -> str:
        if self._english is None or not word.isascii():
            return word
        return "".join(self._english.tokenize(word))


@lru_cache
def _scorer(kind: str, tokenize: str) -> Any:
    scorers, tokenizers = (
        require(f"rouge_score.{part}", "text", "rouge-score")
        for part in ("rouge_scorer", "tokenizers")
    )
    stems = tokenizers.DefaultTokenizer(use_stemmer=True) if tokenize == "words" else None
    return scorers.RougeScorer([kind], tokenizer=_Words(stems))
