"""How much of an answer is right."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from luban.core.contracts import Metric, Statistics
from luban.metrics._answers import best, f1


class AnswerF1(Metric):
    """Mean overlap of an answer with the reference it shares most with, 0 to 1.

    ``en``: words shared, after SQuAD's normalisation. ``zh``: the longest run of characters (and
    words of other scripts) that both contain, as CMRC 2018 has it. A question without references
    is answered right by an empty answer only (SQuAD 2.0).
    """

    language: Literal["en", "zh"] = "en"
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (F1,) of one answer."""
        return (best(f1, prediction["answer"], target["answers"], self.language),)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the mean."""
        return float(statistics[:, 0].mean())

    def note(self, statistics: np.ndarray[Any, Any]) -> str:
        """Say how it was got."""
        return {"en": "SQuAD's normalisation", "zh": "by character, as CMRC 2018"}[self.language]
