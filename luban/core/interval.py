"""Bootstrap intervals: resample the rows of a metric, reduce again, take percentiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from luban.core.contracts import Metric, Row
from luban.core.report import Claim


def measured(metric: Metric, rows: list[Row], *, rounds: int = 1000, seed: int = 0) -> Claim:
    """Return a metric's value with its 95 % percentile-bootstrap interval.

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 13.3.
    The interval is a pure function of the rows and the seed.

    Args:
        metric: The metric that made the rows.
        rows: One row per example, at least one.
        rounds: Number of resamples.
        seed: Seed of the resampling.
    """
    table: np.ndarray[Any, Any] = np.asarray(rows, dtype=np.float64).reshape(len(rows), -1)
    generator = np.random.default_rng(seed)
    draws = [
        metric.reduce(table[generator.integers(0, len(table), len(table))]) for _ in range(rounds)
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    value, note = metric.reduce(table), metric.note(table)
    return Claim(value, metric.unit, float(low), float(high), len(table), note)
