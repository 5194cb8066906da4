"""Which examples a step sees depends on (seed, step) alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import islice

import pytest
import torch

from luban.core.batch import Batch
from luban.core.contracts import Example, StoredView, View
from luban.core.errors import DataError
from luban.engine.loader import Loader
from luban.engine.world import World
from luban.mechanisms.plain import Plain
from tests.engine import toy


def rows(batches: Sequence[Batch]) -> list[list[int]]:
    return [row for batch in batches for row in batch.inputs["ids"].tolist()]


def test_every_cut_of_a_step_holds_the_same_examples_in_the_same_order() -> None:
    for step in (0, 3, 4, 17):
        whole = rows(toy.loader_of(batch_size=7).step(step))
        for size in (1, 2, 3, 10):
            for parts in (1, 2, 4):
                cut: list[list[int]] = []
                for rank in range(size):
                    loader = toy.loader_of(
                        World(rank, size), batch_size=7, gradient_accumulation_steps=parts
                    )
                    cut += rows(loader.step(step))
                assert cut == whole


def test_micro_batches_are_as_many_as_asked_for_and_as_even_as_can_be() -> None:
    sizes = [len(b) for b in toy.loader_of(batch_size=11, gradient_accumulation_steps=4).step(0)]
    assert sorted(sizes) == [2, 3, 3, 3]


def test_a_rank_without_examples_has_no_micro_batches() -> None:
    shares = [toy.loader_of(World(rank, 3), batch_size=1).step(0) for rank in range(3)]
    assert sorted(len(share) for share in shares) == [0, 0, 1]


def test_starting_late_gives_what_an_early_start_would_have_reached() -> None:
    early = [rows(step) for step in islice(toy.loader_of().batches(0), 12)]
    late = [rows(step) for step in islice(toy.loader_of().batches(7), 5)]
    assert early[7:] == late


def test_steps_in_any_order_are_the_same() -> None:
    loader = toy.loader_of()
    forwards = [rows(loader.step(i)) for i in range(10)]
    backwards = [rows(loader.step(i)) for i in reversed(range(10))]
    assert forwards == backwards[::-1]


def test_each_epoch_asks_for_its_own_view_and_lets_go_of_the_old() -> None:
    asked: list[int] = []

    def view(epoch: int) -> View:
        asked.append(epoch)
        return StoredView(toy.examples())

    loader = Loader(view, toy.collate, Plain(), batch_size=20)
    for step in range(10):  # 200 examples: four epochs of 50
        loader.step(step)
    assert asked == [0, 1, 2, 3]
    assert list(loader._views) == [2, 3]  # one back: steps are sorted within a window


def test_preparing_ahead_ends_with_the_iterator() -> None:
    before = set(threading.enumerate())
    batches = toy.loader_of().batches(0)
    next(batches)
    (worker,) = set(threading.enumerate()) - before
    assert worker.name.startswith("luban-loader")
    batches.close()
    assert not worker.is_alive()


def test_errors_of_a_view_reach_the_loop() -> None:
    def broken(batch: Sequence[Example]) -> Batch:
        raise DataError("row 3 is broken.")

    loader = Loader(lambda epoch: StoredView(toy.examples()), broken, Plain(), batch_size=4)
    with pytest.raises(DataError, match="row 3"):
        next(loader.batches(0))


def test_no_examples_is_an_error() -> None:
    loader = Loader(lambda epoch: StoredView(()), toy.collate, Plain(), batch_size=4)
    with pytest.raises(DataError, match="no training examples"):
        loader.step(0)


def test_preparing_ahead_does_not_touch_the_training_random_numbers() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    batches = toy.loader_of().batches(0)
    next(batches)
    batches.close()
    assert torch.equal(torch.rand(4), expected)
