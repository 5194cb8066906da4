"""Intervals of metrics: by resampling their rows, or by leaving some of them out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from luban.core.contracts import Metric, Statistics
from luban.core.progress import doing, tracked
from luban.core.report import Claim

Array: TypeAlias = "np.ndarray[Any, Any]"
#: What a metric keeps of examples: one by one, or as a table (examples, width).
Rows: TypeAlias = "Sequence[Statistics] | Array"

#: A bootstrap bias below this many standard errors does no harm (Efron and Tibshirani 1993,
#: section 10.3).
_BEARABLE = 0.25
_GROUPS = 100  #: most groups of rows that the jackknife leaves out in turn
_Z = 1.959963984540054  #: 97.5 % of a normal distribution


def measured(metric: Metric, rows: Rows, *, rounds: int = 1000, seed: int = 0) -> Claim:
    """Return a metric's value with its 95 % interval, which holds the value.

    The interval is that of the percentile bootstrap (Efron and Tibshirani 1993, An Introduction
    to the Bootstrap, section 13.3), expanded for few rows. A metric that grows or shrinks when
    rows are drawn twice, as a distance between distributions does, has one of the jackknife
    instead (Tukey 1958), around its value: it is about the value expected of as many rows.

    The interval is a pure function of the rows and the seed.

    Args:
        metric: The metric that made the rows.
        rows: One row per example, at least one.
        rounds: Number of resamples.
        seed: Seed of the resampling.
    """
    table: Array = np.asarray(rows, dtype=np.float64).reshape(len(rows), -1)
    with doing(f"interval of {metric.label}"):
        value, note = metric.compute(table), metric.note(table)
    if not metric.sampled:
        return Claim(value, metric.unit, note=note)
    generator = np.random.default_rng(seed)
    low, high = (
        _jackknife(metric, table, value, generator)
        if metric.biased
        else _bootstrap(metric, table, value, generator, rounds)
    )
    return Claim(value, metric.unit, min(low, value), max(high, value), len(table), note)


def without_width(rows: Rows, claim: Claim) -> str:
    """Return what a reader must know of an interval without width; empty where it has one.

    Rows that are all right, or all wrong, cannot be drawn otherwise: resampling knows of no
    chance. Of a share of rows, the interval of Wilson (1927, Probable Inference, the Law of
    Succession, and Statistical Inference) tells what so few can.

    Args:
        rows: One row per example.
        claim: What ``measured`` said of them.
    """
    if claim.low is None or claim.low != claim.high:
        return ""
    table: Array = np.asarray(rows, dtype=np.float64).reshape(len(rows), -1)
    size, share = len(table), float(claim.value)
    told = f"no resample of the {size:,} changes it, so that its interval has no width"
    if table.shape[1] > 1 or not np.isin(table, (0, 1)).all() or table.mean() != share:
        return told
    low, high = _wilson(share, size)
    return f"{told}; as a share of {size:,} its 95 % interval is [{low:.4g}, {high:.4g}] (Wilson)"


def _wilson(share: float, size: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share."""
    middle = (share + _Z**2 / (2 * size)) / (1 + _Z**2 / size)
    spread = share * (1 - share) / size + (_Z / (2 * size)) ** 2
    width = _Z * math.sqrt(spread) / (1 + _Z**2 / size)
    return max(0.0, middle - width), min(1.0, middle + width)


def _bootstrap(
    metric: Metric, table: Array, value: float, generator: np.random.Generator, rounds: int
) -> tuple[float, float]:
    """Return the percentile interval, or the jackknife's where resampling is biased."""
    size = len(table)
    draws = np.array(
        [
            metric.compute(table[generator.integers(0, size, size)])
            for _ in tracked(range(rounds), f"interval of {metric.label}")
        ]
    )
    if np.isfinite(draws).all() and abs(draws.mean() - value) > _BEARABLE * draws.std():
        return _jackknife(metric, table, value, generator)
    tail = 100 * _tail(size)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def _jackknife(
    metric: Metric, table: Array, value: float, generator: np.random.Generator
) -> tuple[float, float]:
    """Return value +- t standard errors of the grouped jackknife, within the metric's bounds."""
    groups = min(len(table), _GROUPS)
    if groups < 2:
        return value, value
    left_out = np.array_split(generator.permutation(len(table)), groups)
    values = np.array(
        [
            metric.compute(np.delete(table, group, 0))
            for group in tracked(left_out, f"interval of {metric.label}")
        ]
    )
    error = float(np.sqrt((groups - 1) * values.var()))
    lowest, highest = metric.bounds
    width = _student(groups - 1) * error
    return max(value - width, lowest), min(value + width, highest)


def _tail(size: int) -> float:
    """Return the share of draws beyond each end of the interval, below 2.5 %.

    Draws of few rows spread too little, by the root of (N - 1) / N, and the normal distribution
    has lighter tails than Student's t: percentile intervals of N <= 8 rows would hold the truth
    too rarely. This is the expanded percentile interval (Hesterberg 2015, What Teachers Should
    Know About the Bootstrap, 1411.5279, section 3.2).
    """
    if size < 2:
        return 0.025
    return 0.5 * math.erfc(_student(size - 1) * math.sqrt(size / (size - 1) / 2))


def _student(freedom: int) -> float:
    """Return 97.5 % of Student's t, by its expansion (Abramowitz and Stegun 1964, 26.7.5)."""
    z = _Z
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2
