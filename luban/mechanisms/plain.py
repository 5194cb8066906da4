"""Ordinary training: shuffled epochs, the exact gradient, no promise of privacy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import nn

from luban.core.batch import Batch, Losses, LossFn
from luban.core.contracts import Mechanism, Pool
from luban.core.errors import DataError

#: Steps whose examples are sorted by length together.
WINDOW = 32


class Plain(Mechanism):
    """The mean loss over everything that counts, of examples in shuffled epochs."""

    group_by_length: bool = Field(
        default=True,
        description=(
            "Let a step see examples of about one length, so that little is padded: the examples "
            "of 32 steps are sorted by length, then those steps are shuffled."
        ),
    )
    balanced: bool = Field(
        default=False,
        description=(
            "Draw each group (class) equally often, with replacement, however many examples it "
            "has; an epoch then has as many draws as examples, not each example once."
        ),
    )

    def draw(self, step: int, batch_size: int, pool: Pool, seed: int) -> list[tuple[int, int]]:
        """Return ``batch_size`` (epoch, index) pairs; an epoch is a seeded permutation.

        A step that crosses the end of an epoch goes on in the next one, so every step is full
        and every example is seen once per epoch (unless ``balanced``).

        Raises:
            DataError: if ``balanced`` is asked of examples that have no groups.
        """
        if pool.lengths is None or not self.group_by_length:
            return self._in_order(range(step * batch_size, (step + 1) * batch_size), pool, seed)
        window, place = divmod(step, WINDOW)
        first = window * WINDOW * batch_size
        drawn = self._in_order(range(first, first + WINDOW * batch_size), pool, seed)
        by_length = np.argsort(pool.lengths[[index for _, index in drawn]], kind="stable")
        turn = int(np.random.default_rng([seed, window, 1]).permutation(WINDOW)[place])
        return [drawn[at] for at in by_length[turn * batch_size : (turn + 1) * batch_size]]

    def _in_order(self, positions: range, pool: Pool, seed: int) -> list[tuple[int, int]]:
        """Return what stands at some positions of all epochs, joined end to end."""
        drawn: list[tuple[int, int]] = []
        for epoch in range(positions.start // pool.size, (positions.stop - 1) // pool.size + 1):
            start = epoch * pool.size
            slots = slice(max(0, positions.start - start), positions.stop - start)
            drawn += [(epoch, index) for index in self._epoch(seed, epoch, pool)[slots].tolist()]
        return drawn

    def _epoch(self, seed: int, epoch: int, pool: Pool) -> np.ndarray[Any, Any]:
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

    def settle(self, parameters: Sequence[nn.Parameter], loss_sum: float, count: float) -> None:
        """Divide the gradient sums by the count.

        Raises:
            DataError: if nothing in the whole step carried a loss.
        """
        if count == 0:
            raise DataError(
                "a whole batch has nothing to learn from: every label is masked.",
                fix="look for rows without an answer, or raise the maximum length.",
            )
        torch._foreach_div_([p.grad for p in parameters if p.grad is not None], count)


@lru_cache(maxsize=8)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng([seed, epoch]).permutation(size)


@lru_cache(maxsize=8)
def _balanced(seed: int, epoch: int, groups: bytes, dtype: str) -> np.ndarray[Any, Any]:
    """Return as many indices as there are examples, every group as likely as any other."""
    _, group, counts = np.unique(
        np.frombuffer(groups, dtype), return_inverse=True, return_counts=True
    )
    chance = 1 / (len(counts) * counts[group])
    return np.random.default_rng([seed, epoch]).choice(len(group), len(group), p=chance)
