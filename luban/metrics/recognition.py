"""The share of made things that a classifier takes for what was asked for."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from luban.core.contracts import Metric, Statistics


class Recognition(Metric):
    """Things whose ``judged`` label is their ``label``, over all.

    Compare the figure with that of real unseen things: no classifier is always right.
    """

    by: str = Field(default="", description="Who judges, for the name in reports.")
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def label(self) -> str:
        """The name in reports."""
        return f"recognised (by {self.by})" if self.by else "recognised"

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (1,) where the judge sees what was asked for."""
        return (float(prediction["judged"] == prediction["label"]),)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the share."""
        return float(statistics[:, 0].mean())
