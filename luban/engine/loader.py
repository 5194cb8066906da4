"""From examples to the micro-batches of each step: a pure function of (seed, step, rank)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count, pairwise

import torch
from torch.utils.data import DataLoader, Dataset

from luban.core.batch import Batch
from luban.core.contracts import Example, Mechanism, Pool, View
from luban.core.errors import DataError
from luban.engine.world import World

_LINGER = 30  #: seconds that a worker goes on after it was told to stop


@dataclass(slots=True)
class Loader:
    """Draws, cuts and collates the examples of each step.

    The draw is the same in every process; each takes a contiguous, as even as possible share
    of it and cuts that into micro-batches. So neither the number of processes nor the number
    of micro-batches changes which examples a step sees.

    Attributes:
        view: Epoch to the examples of that epoch, always the same number.
        collate: Pads and stacks examples; draws no random numbers from torch.
        mechanism: Decides which examples a step sees.
        batch_size: Examples per step, over all processes and micro-batches.
        seed: Seed of the run.
        gradient_accumulation_steps: Micro-batches per step and process.
        world: The processes that share each step.
        workers: Processes that prepare steps ahead; none: a thread of this one does.
    """

    view: Callable[[int], View]
    collate: Callable[[Sequence[Example]], Batch]
    mechanism: Mechanism
    batch_size: int
    seed: int = 0
    gradient_accumulation_steps: int = 1
    world: World = field(default_factory=World)
    workers: int = 0
    _pool: Pool | None = field(default=None, init=False)
    _views: dict[int, View] = field(default_factory=dict, init=False)

    @property
    def pool(self) -> Pool:
        """What is the same in every epoch: the size of its view, and lengths and groups."""
        if self._pool is None:
            view = self._view(0)
            self._pool = Pool(len(view), view.lengths, view.groups)
        return self._pool

    @property
    def size(self) -> int:
        """Examples per epoch."""
        return self.pool.size

    def step(self, index: int) -> list[Batch]:
        """Return this process's micro-batches of a step (from 0); the list may be empty.

        Raises:
            DataError: if there are no examples at all.
        """
        if self.size == 0:
            raise DataError("there are no training examples.", fix="check the source and filters.")
        draw = self.mechanism.sample_examples(index, self.batch_size, self.pool, self.seed)
        self._forget(before=min((epoch for epoch, _ in draw), default=0) - 1)
        share = self.world.share(len(draw))
        mine = [self._view(epoch)[at] for epoch, at in draw[share.start : share.stop]]
        parts = min(self.gradient_accumulation_steps, len(mine))
        cuts = [len(mine) * part // parts for part in range(parts + 1)] if parts else [0]
        return [self.collate(mine[a:b]) for a, b in pairwise(cuts)]

    def batches(self, start: int = 0) -> Generator[list[Batch], None, None]:
        """Yield the micro-batches of each step from ``start`` on, some prepared ahead."""
        if self.workers:
            yield from self._from_workers(start)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="luban-loader") as worker:
            following = worker.submit(self.step, start)
            while True:
                start += 1
                ready, following = following, worker.submit(self.step, start)
                yield ready.result()

    def _from_workers(self, start: int) -> Iterator[list[Batch]]:
        """Yield steps that other processes prepare; torch hands them over in order."""
        yield from DataLoader(
            _Steps(self),
            batch_size=None,
            sampler=count(start),
            num_workers=self.workers,
            multiprocessing_context="fork",  # others would have to pickle task and data
            collate_fn=_as_it_is,
            worker_init_fn=_outlive,
            generator=torch.Generator(),  # the global one belongs to training
        )

    def _view(self, epoch: int) -> View:
        if epoch not in self._views:
            self._views[epoch] = self.view(epoch)
        return self._views[epoch]

    def _forget(self, before: int) -> None:
        """Let go of old epochs; one that is drawn from once more is made anew."""
        for epoch in [epoch for epoch in self._views if epoch < before]:
            del self._views[epoch]


@dataclass(frozen=True, slots=True)
class _Steps(Dataset[list[Batch]]):
    """Steps by their number, for torch's own loader."""

    loader: Loader

    def __getitem__(self, index: int) -> list[Batch]:
        return self.loader.step(index)


def _as_it_is(batches: list[Batch]) -> list[Batch]:
    return batches


def _outlive(_: int) -> None:
    """Let a worker live on when all processes are told to stop: a step is finished, and saved."""
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: signal.alarm(_LINGER))
