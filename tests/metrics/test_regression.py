"""Metrics of numbers against scipy and numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from luban.core.contracts import Metric
from luban.metrics.pearson import Pearson
from luban.metrics.rmse import Rmse
from luban.metrics.spearman import Spearman

pairs = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=30)


def value(metric: Metric, rows: Any) -> float:
    return metric.compute(
        np.asarray(
            [metric.statistics({"value": p}, {"value": t}) for p, t in rows], dtype=np.float64
        )
    )


@given(pairs, st.floats(0.001, 1e6), st.floats(-1e6, 1e6))
def test_against_scipy(rows: list[tuple[int, int]], scale: float, shift: float) -> None:
    x, y = np.array(rows, dtype=float).T
    moved = list(zip((scale * x + shift).tolist(), y.tolist(), strict=True))
    assert value(Rmse(), rows) == pytest.approx(np.sqrt(np.mean((x - y) ** 2)))
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert value(Pearson(), rows) == value(Spearman(), rows) == 0.0
    else:
        assert value(Pearson(), rows) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
        assert value(Pearson(), moved) == pytest.approx(value(Pearson(), rows), abs=1e-5)
        assert value(Spearman(), rows) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


def test_a_constant_with_rounding_noise_is_constant() -> None:
    assert value(Pearson(), [(0.1 + 0.2, 1), (0.3, 2), (0.3, 3)]) == 0.0
    many = [(0.5227, i % 2) for i in range(1821)]  # the mean of equal numbers is rounded too
    assert value(Pearson(), many) == value(Spearman(), many) == 0.0
    assert value(Pearson(), [(1e300, 1), (2e300, 2)]) == pytest.approx(1.0)
    assert value(Pearson(), [(1e-300, 1), (2e-300, 2)]) == pytest.approx(1.0)


def test_spearman_sees_order_only() -> None:
    assert value(Spearman(), [(1, 1), (10, 2), (1e9, 3)]) == pytest.approx(1.0)
    assert value(Spearman(), [(3, 1), (2, 2), (1, 3)]) == pytest.approx(-1.0)
