"""Numbers that were predicted beside those that are true."""

from __future__ import annotations

from typing import Any

import numpy as np

from luban.core.contracts import Statistics


def pair(prediction: Any, target: Any) -> Statistics:
    """Return (predicted, true) of one example."""
    return float(prediction["value"]), float(target["value"])


def correlation(rows: np.ndarray[Any, Any]) -> float:
    """Return Pearson's correlation of the two columns; 0 where one of them is constant."""
    size = np.abs(rows).max(0)
    if ((rows.max(0) - rows.min(0)) <= np.finfo(np.float64).eps * size).any():  # mere rounding
        return 0.0
    centred = rows - rows.mean(0)
    x, y = (centred / np.abs(centred).max(0)).T  # no square of it overflows
    return float(np.clip((x @ y) / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))
