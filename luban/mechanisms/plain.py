"""Ordinary training: shuffled epochs, the exact gradient, no promise of privacy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import torch
from pydantic import Field
from torch import nn

from luban.core.batch import Batch, Losses, LossFn
from luban.core.contracts import Mechanism, Pool
from luban.core.errors import DataError

Array: TypeAlias = "np.ndarray[Any, Any]"

#: Steps whose examples are sorted by length together.
WINDOW = 32


class Plain(Mechanism):
    """The mean loss over everything that counts, of examples in shuffled epochs."""

    group_by_length: bool = Field(
        default=True,
        description=(
            "Let a step see examples of about one length, so that little is padded: the examples "
            "of up to 32 steps of an epoch are sorted by length, then those steps are shuffled."
        ),
    )
    balanced: bool = Field(
        default=False,
        description=(
            "Draw each group (class) equally often, with replacement, however many examples it "
            "has; an epoch then has as many draws as examples, not each example once."
        ),
    )

    def sample_examples(
        self, step: int, batch_size: int, pool: Pool, seed: int
    ) -> list[tuple[int, int]]:
        """Return ``batch_size`` (epoch, index) pairs; an epoch is a seeded permutation.

        A step that crosses the end of an epoch goes on in the next one, so every step is full
        and every example is seen once per epoch (unless ``balanced``).

        Raises:
            DataError: if ``balanced`` is asked of examples that have no groups.
        """
        first, end = step * batch_size, (step + 1) * batch_size
        drawn: list[tuple[int, int]] = []
        for epoch in range(first // pool.size, (end - 1) // pool.size + 1):
            start = epoch * pool.size
            slots = slice(max(0, first - start), min(pool.size, end - start))
            order = self._epoch(seed, epoch, pool)
            if pool.lengths is None or not self.group_by_length:
                indices = order[slots]
            else:
                steps = _Steps(order, pool.lengths, -start % batch_size, batch_size)
                indices = steps.at(slots, [seed, epoch])
            drawn += [(epoch, index) for index in indices.tolist()]
        return drawn

    def _epoch(self, seed: int, epoch: int, pool: Pool) -> Array:
        if not self.balanced:
            return _permutation(seed, epoch, pool.size)
        if pool.groups is None:
            raise DataError(
                "this task has no groups to balance.",
                where="train.mechanism.balanced",
                fix="leave it out.",
            )
        return _balanced(seed, epoch, pool.groups.tobytes(), pool.groups.dtype.str)

    def accumulate(self, model: nn.Module, batch: Batch, loss: LossFn) -> Losses:
        """Add the gradient of the loss sum to every ``.grad``."""
        losses = loss(model, batch)
        losses.sums.sum().backward()  # type: ignore[no-untyped-call]
        return losses.detach()

    def finish_gradient(
        self, parameters: Sequence[nn.Parameter], loss_sum: float, count: float
    ) -> None:
        """Divide the gradient sums by the count; where nothing counted, they are 0."""
        if count:
            torch._foreach_div_([p.grad for p in parameters if p.grad is not None], count)


@dataclass(frozen=True, slots=True)
class _Steps:
    """An epoch whose whole steps each see examples of about one length.

    Attributes:
        order: The examples of the epoch, shuffled.
        lengths: Positions of each example.
        head: Examples that complete a step begun in the epoch before.
        size: Examples of a step.
    """

    order: Array
    lengths: Array
    head: int
    size: int

    def at(self, slots: slice, key: list[int]) -> Array:
        """Return the part of one step that lies in this epoch.

        Examples only change places within a window of whole steps, so an epoch stays complete.

        Args:
            slots: Where in the epoch the step stands.
            key: Seeds the order of the steps in a window.
        """
        if slots.start < self.head:
            return self.order[slots]
        window, place = divmod((slots.start - self.head) // self.size, WINDOW)
        begin = self.head + window * WINDOW * self.size
        held = self.order[begin : begin + WINDOW * self.size]
        steps = len(held) // self.size
        if place == steps:  # the epoch ends within this step
            return held[steps * self.size :]
        held = held[: steps * self.size]
        by_length = held[np.argsort(self.lengths[held], kind="stable")]
        turn = int(np.random.default_rng([*key, window, 1]).permutation(steps)[place])
        return by_length[turn * self.size : (turn + 1) * self.size]


@lru_cache(maxsize=8)
def _permutation(seed: int, epoch: int, size: int) -> Array:
    return np.random.default_rng([seed, epoch]).permutation(size)


@lru_cache(maxsize=8)
def _balanced(seed: int, epoch: int, groups: bytes, dtype: str) -> Array:
    """Return as many indices as there are examples, every group as likely as any other."""
    _, group, counts = np.unique(
        np.frombuffer(groups, dtype), return_inverse=True, return_counts=True
    )
    chance = 1 / (len(counts) * counts[group])
    return np.random.default_rng([seed, epoch]).choice(len(group), len(group), p=chance)
