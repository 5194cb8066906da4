"""Records from all over a stream."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from luban.data.checks.spread_sample import spread


@given(
    st.lists(st.integers(0, 9), max_size=60),
    st.integers(1, 70),
    st.integers(0, 200),
)
def test_bounds_and_order_hold(weights: list[int], most: int, heaviest: int) -> None:
    items = list(enumerate(weights))
    kept, count = spread(iter(items), most, lambda item: item[1], heaviest)
    assert count == len(items)
    assert kept == sorted(kept)
    assert set(kept) <= set(items)
    assert len(kept) <= most
    assert len(kept) == 1 or sum(weight for _, weight in kept) <= heaviest or not items
    assert bool(kept) == bool(items)
    if len(items) <= most and sum(weights) <= heaviest:
        assert kept == items
    assert spread(iter(items), most, lambda item: item[1], heaviest) == (kept, count)


def test_they_are_from_all_over() -> None:
    """Also of data that repeat with any period, which even distances would miss."""
    kept, _ = spread(range(100_000), 2_000, lambda _: 1, 10_000)
    counts, _ = np.histogram(kept, bins=20, range=(0, 100_000))
    assert len(kept) == 2_000
    # 100 expected in each part, standard deviation 9.7.
    assert counts.min() > 60
    assert counts.max() < 140
    for period in (2, 3, 4, 50):
        assert abs(np.mean(np.array(kept) % period == 0) * period - 1) < 0.6
