"""Plain training: every example once per epoch, the exact gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import Mechanism, Pool
from luban.core.errors import DataError
from luban.mechanisms.plain import WINDOW

PLAIN = Mechanism.from_dict("plain")
BALANCED = Mechanism.from_dict({"name": "plain", "balanced": True})


@given(size=st.integers(1, 40), batch_size=st.integers(1, 60), seed=st.integers(0, 5))
def test_every_example_is_seen_once_per_epoch(size: int, batch_size: int, seed: int) -> None:
    steps = -(-3 * size // batch_size)
    drawn = [
        pair
        for step in range(steps)
        for pair in PLAIN.sample_examples(step, batch_size, Pool(size), seed)
    ]
    assert len(drawn) == steps * batch_size
    for epoch in range(3):
        seen = [index for which, index in drawn[: 3 * size] if which == epoch]
        assert sorted(seen) == list(range(size))
    assert [epoch for epoch, _ in drawn] == sorted(epoch for epoch, _ in drawn)


@given(step=st.integers(0, 10_000), seed=st.integers(0, 2**63 - 1))
def test_draw_is_a_pure_function_of_its_arguments(step: int, seed: int) -> None:
    first = PLAIN.sample_examples(step, 8, Pool(100), seed)
    PLAIN.sample_examples(step + 500, 8, Pool(100), seed + 1)
    assert PLAIN.sample_examples(step, 8, Pool(100), seed) == first


def test_seeds_and_epochs_shuffle_differently() -> None:
    orders = {
        tuple(index for _, index in PLAIN.sample_examples(epoch, 50, Pool(50), seed))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_gradients_of_micro_batches_add_and_settle_divides_once() -> None:
    model = nn.Linear(3, 1, bias=False)
    x = torch.randn(5, 3)

    def loss(module: nn.Module, batch: Batch) -> Losses:
        return Losses(module(batch.inputs["x"]).sum(1), torch.full((len(batch),), 2.0))

    batch = Batch({"x": x}, {})
    parts = [PLAIN.accumulate(model, batch.rows(r), loss) for r in (slice(0, 2), slice(2, 5))]
    assert not any(part.sums.requires_grad for part in parts)
    joined = Losses.cat(parts)
    count = float(joined.counts.sum())
    assert count == 10
    PLAIN.finish_gradient(list(model.parameters()), float(joined.sums.sum()), count)
    torch.testing.assert_close(model.weight.grad, x.sum(0, keepdim=True) / 10)


def test_a_gradient_of_nothing_stays_zero() -> None:
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.zeros(2)
    PLAIN.finish_gradient([weight], 0.0, 0.0)
    assert torch.equal(weight.grad, torch.zeros(2))


def test_plain_training_costs_nothing() -> None:
    assert PLAIN.cost(100, 8, 1000) == {}


# Lengths and groups


def realistic(size: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Lengths as sentences have them: most short, a few long (log-normal)."""
    drawn = np.random.default_rng(seed).lognormal(3.0, 0.6, size)
    return np.clip(drawn, 3, 128).astype(np.int64)


def padded(pool: Pool, mechanism: Mechanism, steps: int, batch_size: int) -> float:
    """The share of positions that are padding."""
    assert pool.lengths is not None
    read = real = 0
    for step in range(steps):
        lengths = pool.lengths[[i for _, i in mechanism.sample_examples(step, batch_size, pool, 0)]]
        read, real = read + int(lengths.max()) * batch_size, real + int(lengths.sum())
    return 1 - real / read


@given(
    size=st.integers(1, 300),
    batch_size=st.integers(1, 20),
    seed=st.integers(0, 5),
    lengths=st.integers(0, 5),
)
@settings(max_examples=30)
def test_grouping_by_length_shows_every_example_once_per_epoch(
    size: int, batch_size: int, seed: int, lengths: int
) -> None:
    """However short the epochs are, and wherever a training ends."""
    pool, steps = Pool(size, realistic(size, lengths)), -(-3 * size // batch_size)
    drawn = [
        pair for s in range(steps) for pair in PLAIN.sample_examples(s, batch_size, pool, seed)
    ]
    assert len(drawn) == steps * batch_size
    assert [epoch for epoch, _ in drawn] == sorted(epoch for epoch, _ in drawn)
    for epoch in range(3):
        assert sorted(i for e, i in drawn[: 3 * size] if e == epoch) == list(range(size))


def test_grouping_by_length_saves_padding_and_stays_random() -> None:
    pool = Pool(5000, realistic(5000))
    assert pool.lengths is not None
    shuffled = Mechanism.from_dict({"name": "plain", "group_by_length": False})
    assert padded(pool, shuffled, 150, 32) > 0.55
    assert padded(pool, PLAIN, 150, 32) < 0.12
    means = [
        pool.lengths[[i for _, i in PLAIN.sample_examples(s, 32, pool, 0)]].mean()
        for s in range(320)
    ]
    # Long and short steps alternate at random: no trend inside the windows of 32 steps.
    order = np.corrcoef(np.tile(np.arange(WINDOW), 10), means)[0, 1]
    assert abs(order) < 0.2
    assert np.std(means) > 5


@pytest.mark.parametrize("shares", [(0.9, 0.1), (0.7, 0.2, 0.08, 0.02)])
def test_balanced_draws_every_class_equally_often(shares: tuple[float, ...]) -> None:
    groups = np.repeat(np.arange(len(shares)), [int(2000 * share) for share in shares])
    pool, batch_size, steps = Pool(len(groups), None, groups), 40, 500
    drawn = [i for s in range(steps) for _, i in BALANCED.sample_examples(s, batch_size, pool, 1)]
    found = np.bincount(groups[drawn]) / len(drawn)
    # Four standard deviations of a share over 20,000 draws.
    assert found == pytest.approx(np.full(len(shares), 1 / len(shares)), abs=4 * 0.5 / 20_000**0.5)
    rare = np.bincount(drawn, minlength=len(groups))[groups == len(shares) - 1]
    assert (rare > 0).all()
    assert rare.std() < 3 * rare.mean() ** 0.5


@given(step=st.integers(0, 5_000), seed=st.integers(0, 2**63 - 1))
@settings(max_examples=30)
def test_both_are_pure_functions(step: int, seed: int) -> None:
    pool = Pool(100, realistic(100), np.arange(100) % 7)
    for mechanism in (PLAIN, BALANCED):
        first = mechanism.sample_examples(step, 8, pool, seed)
        mechanism.sample_examples(step + 500, 8, pool, seed + 1)
        assert mechanism.sample_examples(step, 8, pool, seed) == first
        assert len(first) == 8


def test_other_lengths_or_groups_are_another_pool() -> None:
    """What is remembered of one pool must not answer for another of the same size."""
    groups = np.arange(100) % 2
    one = BALANCED.sample_examples(0, 50, Pool(100, None, groups), 3)
    other = BALANCED.sample_examples(0, 50, Pool(100, None, (np.arange(100) < 95).astype(int)), 3)
    assert one != other


def test_nothing_to_balance_is_an_error() -> None:
    with pytest.raises(DataError, match="no groups to balance"):
        BALANCED.sample_examples(0, 4, Pool(10), 0)
