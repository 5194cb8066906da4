"""The share of examples whose label is among the k most likely."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from luban.core.contracts import Metric, Statistics
from luban.metrics._classes import scores_of, truths


class TopKAccuracy(Metric):
    """Examples whose label is among the ``k`` with the highest scores, over all.

    Of equal scores the one that stands first in ``classes`` counts as the higher. Of several
    labels the least likely one must be among them.
    """

    k: int = Field(default=5, ge=1, le=16_777_216)
    classes: tuple[str, ...]
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def label(self) -> str:
        """The name with k: ``top-5-accuracy``."""
        return f"top-{self.k}-accuracy"

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (1,) where it is."""
        order = np.argsort(-np.asarray(scores_of(prediction, self.classes)), kind="stable")
        true = set(np.flatnonzero(truths(target, self.classes)).tolist())
        return (float(true <= set(order[: self.k].tolist())),)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the share of those that are."""
        return float(statistics[:, 0].mean())
