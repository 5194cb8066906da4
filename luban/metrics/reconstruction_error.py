"""How far images are from what a model makes of them again."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Statistics


class ReconstructionError(Metric):
    """Root mean square difference of all pixels, which are 0 to 255."""

    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 255.0)
    unit: ClassVar[str] = "of 255"

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (mean square difference,) of one image."""
        return (float(prediction["squared_error"]),)

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return the root of the mean."""
        return float(np.sqrt(statistics[:, 0].mean()))
