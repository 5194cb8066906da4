"""Workers prepare the steps that the loader itself would have given, in the same order."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from luban.core.batch import Batch
from luban.core.contracts import Augmentation, AugmentationContext, Example, StoredView
from luban.core.errors import DataError
from luban.data.views.augmented import Augmented
from luban.data.views.in_memory import InMemoryExamples
from luban.engine.loader import Loader
from luban.mechanisms.plain import Plain

EXAMPLES = [{"pixels": np.full(3, i, np.float32)} for i in range(10)]


class Jitter(Augmentation):
    """Adds a random number, or mixes with another example."""

    changes: ClassVar[str] = "pixels"
    mix: bool = False

    def apply(self, example: Example, draw: AugmentationContext) -> Example:
        """Return the example with other pixels."""
        more = draw.other()["pixels"] if self.mix else draw.rng.normal(size=3)
        return {**example, "pixels": (example["pixels"] + more).astype(np.float32)}


def collate(examples: Sequence[Any]) -> Batch:
    return Batch({"x": torch.from_numpy(np.stack([e["pixels"] for e in examples]))}, {})


def loader(workers: int, view: Any = None) -> Loader:
    def augmented(epoch: int) -> Any:
        return Augmented(InMemoryExamples(EXAMPLES), (Jitter(), Jitter(mix=True)), 5, epoch)

    return Loader(
        view=view or augmented,
        collate=collate,
        mechanism=Plain(),
        batch_size=4,
        gradient_accumulation_steps=2,
        workers=workers,
    )


@pytest.mark.parametrize("start", [0, 3])
def test_workers_change_nothing(start: int) -> None:
    state = torch.random.get_rng_state()
    found = [loader(workers).batches(start) for workers in (0, 1, 2)]
    for _ in range(6):
        alone, *others = (next(batches) for batches in found)
        assert len(alone) == 2
        for other in others:
            for one, two in zip(alone, other, strict=True):
                assert torch.equal(one.inputs["x"], two.inputs["x"])
    for batches in found:
        batches.close()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_workers_are_forked_whatever_python_would_do() -> None:
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("forkserver", force=True)  # as from Python 3.14 on
    try:
        batches = loader(1).batches()
        assert len(next(batches)) == 2
        batches.close()
    finally:
        multiprocessing.set_start_method(before, force=True)


def test_no_epoch_shows_the_same_but_each_shows_it_again() -> None:
    one, again, other = (
        Augmented(InMemoryExamples(EXAMPLES), (Jitter(),), 5, epoch) for epoch in (1, 1, 2)
    )

    def pixels(view: Augmented) -> Any:
        return np.stack([example["pixels"] for example in view])

    assert np.array_equal(pixels(one), pixels(again))
    assert (pixels(one) != pixels(other)).all()


def test_the_error_of_a_worker_is_ours() -> None:
    with pytest.raises(DataError, match="no training examples"):
        next(loader(1, lambda epoch: StoredView(())).batches())


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_workers_live_on_when_all_processes_are_told_to_stop(kind: signal.Signals) -> None:
    before = set(multiprocessing.active_children())
    batches = loader(1).batches()
    next(batches)  # it has begun, and so handles signals
    [worker] = set(multiprocessing.active_children()) - before
    assert worker.pid is not None
    os.kill(worker.pid, kind)
    for _ in range(6):  # more than was prepared before
        assert next(batches)
    assert worker.is_alive()
    batches.close()
    assert not worker.is_alive()
