"""Ordinary training: shuffled epochs, the exact gradient, no promise of privacy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from luban.core.batch import Batch, Losses, LossFn
from luban.core.contracts import Mechanism
from luban.core.errors import DataError


class Plain(Mechanism):
    """The mean loss over everything that counts, of examples in shuffled epochs."""

    def draw(self, step: int, batch_size: int, size: int, seed: int) -> list[tuple[int, int]]:
        """Return ``batch_size`` (epoch, index) pairs; an epoch is a seeded permutation.

        A step that crosses the end of an epoch goes on in the next one, so every step is full
        and every example is seen once per epoch.
        """
        first = step * batch_size
        drawn = []
        for position in range(first, first + batch_size):
            epoch, slot = divmod(position, size)
            drawn.append((epoch, int(_permutation(seed, epoch, size)[slot])))
        return drawn

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


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng([seed, epoch]).permutation(size)
