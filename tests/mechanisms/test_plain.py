"""Plain training: every example once per epoch, the exact gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import Mechanism, Pool
from luban.core.errors import DataError

PLAIN = Mechanism.from_dict("plain")


@given(size=st.integers(1, 40), batch_size=st.integers(1, 60), seed=st.integers(0, 5))
def test_every_example_is_seen_once_per_epoch(size: int, batch_size: int, seed: int) -> None:
    steps = -(-3 * size // batch_size)
    drawn = [
        pair for step in range(steps) for pair in PLAIN.draw(step, batch_size, Pool(size), seed)
    ]
    assert len(drawn) == steps * batch_size
    for epoch in range(3):
        seen = [index for which, index in drawn[: 3 * size] if which == epoch]
        assert sorted(seen) == list(range(size))
    assert [epoch for epoch, _ in drawn] == sorted(epoch for epoch, _ in drawn)


@given(step=st.integers(0, 10_000), seed=st.integers(0, 2**63 - 1))
def test_draw_is_a_pure_function_of_its_arguments(step: int, seed: int) -> None:
    first = PLAIN.draw(step, 8, Pool(100), seed)
    PLAIN.draw(step + 500, 8, Pool(100), seed + 1)
    assert PLAIN.draw(step, 8, Pool(100), seed) == first


def test_seeds_and_epochs_shuffle_differently() -> None:
    orders = {
        tuple(index for _, index in PLAIN.draw(epoch, 50, Pool(50), seed))
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
    PLAIN.settle(list(model.parameters()), float(joined.sums.sum()), count)
    torch.testing.assert_close(model.weight.grad, x.sum(0, keepdim=True) / 10)


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(DataError, match="nothing to learn from"):
        PLAIN.settle([], 0.0, 0.0)


def test_plain_training_costs_nothing() -> None:
    assert PLAIN.cost(100, 8, 1000) == {}
