"""Bootstrap intervals: they cover what they should, and are a function of rows and seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from luban.core.contracts import Metric, Statistics
from luban.core.intervals import measured


class Mean(Metric):
    """The mean of numbers, or of counts over counts."""

    unit = "things"

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        return (float(prediction),)

    def compute(self, rows: np.ndarray[Any, Any]) -> float:
        return float(rows[:, 0].sum() / (rows[:, 1].sum() if rows.shape[1] > 1 else len(rows)))


def rows_of(values: np.ndarray[Any, Any]) -> list[Statistics]:
    return [tuple(np.atleast_1d(value).tolist()) for value in values]


@pytest.mark.parametrize("law", ["normal", "exponential", "bernoulli"])
def test_coverage_of_known_means(law: str) -> None:
    """95 % intervals hold the truth about 95 % of the time (a bit less for n = 60)."""
    generator = np.random.default_rng(7)
    draws: dict[str, Callable[[], np.ndarray[Any, Any]]] = {
        "normal": lambda: generator.normal(3.0, 2.0, 60),
        "exponential": lambda: generator.exponential(3.0, 60),
        "bernoulli": lambda: generator.binomial(1, 0.3, 60).astype(float),
    }
    truth = 0.3 if law == "bernoulli" else 3.0
    held = 0
    for trial in range(200):
        claim = measured(Mean(), rows_of(draws[law]()), rounds=200, seed=trial)
        assert claim.low is not None
        assert claim.high is not None
        held += claim.low <= truth <= claim.high
    assert 0.87 <= held / 200 <= 0.99


@pytest.mark.parametrize(("size", "least"), [(4, 0.84), (6, 0.9), (8, 0.9)])
def test_coverage_of_means_of_few_rows(size: int, least: float) -> None:
    """Plain percentiles hold the truth in 81, 88 and 88 % of these cases."""
    generator = np.random.default_rng(11)
    held = 0
    for trial in range(300):
        claim = measured(Mean(), rows_of(generator.normal(3, 2, size)), rounds=400, seed=trial)
        assert claim.low is not None
        assert claim.high is not None
        held += claim.low <= 3 <= claim.high
    assert least <= held / 300 <= 0.99


def test_the_width_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(0, 1, 2000)
    claim = measured(Mean(), rows_of(values), rounds=1000)
    assert claim.low is not None
    assert claim.high is not None
    expected = 2 * 1.96 * values.std() / np.sqrt(len(values))
    assert claim.high - claim.low == pytest.approx(expected, rel=0.1)


def test_rows_are_resampled_whole() -> None:
    """A ratio of sums keeps numerator and denominator of an example together."""
    generator = np.random.default_rng(0)
    counts = generator.integers(1, 100, 50)
    claim = measured(Mean(), rows_of(np.stack([2.0 * counts, counts], 1)))
    assert claim.value == pytest.approx(2.0)
    assert claim.low == pytest.approx(2.0)
    assert claim.high == pytest.approx(2.0)


def test_a_function_of_rows_and_seed() -> None:
    rows = rows_of(np.random.default_rng(1).normal(size=40))
    first = measured(Mean(), rows, seed=3)
    np.random.default_rng(9).normal(size=5)
    assert measured(Mean(), rows, seed=3) == first
    assert measured(Mean(), rows, seed=4) != first


def test_one_row_has_an_interval_of_no_width_and_says_n_is_1() -> None:
    claim = measured(Mean(), [(4.0,)])
    assert (claim.value, claim.low, claim.high, claim.n) == (4.0, 4.0, 4.0, 1)
    assert claim.unit == "things"


class Extreme(Mean):
    """The largest number: resampling can only lower it."""

    def compute(self, rows: np.ndarray[Any, Any]) -> float:
        return float(rows.max())


class Spread(Mean):
    """The square of the mean: resampling adds the variance of a mean."""

    bounds = (0.0, np.inf)

    def compute(self, rows: np.ndarray[Any, Any]) -> float:
        return float(rows.mean() ** 2)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 60])
@pytest.mark.parametrize("metric", [Extreme(), Spread()])
def test_biased_statistics_lie_in_their_own_intervals(metric: Metric, size: int) -> None:
    for seed in range(20):
        values = np.random.default_rng([seed, size]).normal(size=size)
        claim = measured(metric, rows_of(values), rounds=100)
        assert claim.low is not None
        assert claim.high is not None
        assert metric.bounds[0] <= claim.low <= float(claim.value) <= claim.high
        assert (claim.low < claim.high) == (size > 1)


def test_what_rows_do_not_sample_has_no_interval() -> None:
    class Once(Mean):
        sampled = False

    claim = measured(Once(), [(4.0,)] * 3)
    assert (claim.value, claim.low, claim.high, claim.n) == (4.0, None, None, None)
    assert str(claim) == "4 things"
