"""Bits the model needs for each byte of text: comparable across tokenizers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from luban.core.contracts import Metric, Statistics


class BitsPerByte(Metric):
    """Total nats / (ln 2 * UTF-8 bytes of the predicted text)."""

    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    unit: ClassVar[str] = "bits/byte"

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (nats, bytes) of one window."""
        return (float(prediction["nats"]), float(target["bytes"]))

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return total bits over total bytes; infinite where no byte was predicted."""
        total = float(statistics[:, 1].sum())
        return float(statistics[:, 0].sum()) / math.log(2) / total if total else math.inf
