"""Matthews' correlation between what was predicted and what is true."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Statistics
from luban.metrics._classes import counts, decisions


class Matthews(Metric):
    """MCC for any number of exclusive classes (Gorodkin 2004, R_K; Matthews 1975 for two).

    1 is perfect, 0 is no better than guessing, whatever the share of the classes.
    """

    classes: tuple[str, ...]
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (predicted, true) as numbers of ``classes``."""
        return decisions(prediction, target, self.classes)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the correlation; 0 where only one class is predicted, or only one is true."""
        hits, extra, missed = (part.astype(float) for part in counts(statistics, len(self.classes)))
        said, true, n = hits + extra, hits + missed, float(len(statistics))
        spread = (n**2 - said @ said) * (n**2 - true @ true)
        return float((n * hits.sum() - said @ true) / np.sqrt(spread)) if spread > 0 else 0.0

    def undefined(self, statistics: np.ndarray[Any, Any]) -> bool:
        """Return whether only one class is true."""
        return len(np.unique(statistics[:, 1])) < 2
