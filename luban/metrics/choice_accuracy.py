"""The share of questions whose right choice is the likeliest."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from luban.core.contracts import Metric, Statistics


class ChoiceAccuracy(Metric):
    """Questions answered right, 0 to 1; several choices named at once share the credit."""

    normalised: bool = Field(
        default=False, description="Of likelihoods per byte, so that a short choice has no lead."
    )
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def label(self) -> str:
        """The name in reports."""
        return f"{self.name}-normalised" if self.normalised else self.name

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (1,) for the right choice, (0,) for another, (1/n,) for one of n named."""
        key = "normalised_choice" if self.normalised else "choice"
        chosen = prediction.get(key, prediction["choice"])
        named = chosen if isinstance(chosen, list) else [chosen]
        return (float(target["choice"] in named) / len(named),)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the mean."""
        return float(statistics[:, 0].mean())
