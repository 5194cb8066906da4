"""The share of answers that are right word for word."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from luban.core.contracts import Metric, Statistics
from luban.metrics._answers import best, exact


class ExactMatch(Metric):
    """Answers equal to one of the references, after the official normalisation, 0 to 1.

    A question without references is answered right by an empty answer only (SQuAD 2.0).
    """

    language: Literal["en", "zh"] = "en"
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (1,) for a right answer, (0,) for a wrong one."""
        return (best(exact, prediction["answer"], target["answers"], self.language),)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the mean."""
        return float(statistics[:, 0].mean())
