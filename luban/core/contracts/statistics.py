"""Models that are set up by statistics of the training data before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from luban.core.contracts.examples import Example
from luban.core.contracts.task import Task

if TYPE_CHECKING:
    from torch import nn


@runtime_checkable
class UsesStatistics(Protocol):
    """A model some of whose buffers hold statistics of the training split."""

    def set_statistics(self, module: nn.Module, task: Task, train: Sequence[Example]) -> None:
        """Set the buffers of a fresh module; they are saved with its weights.

        Training calls this once, before the first step; a training that is resumed has them from
        its checkpoint. No parameter changes, and the result depends on the arguments alone.

        Args:
            module: What ``build`` returned.
            task: With all it has learned.
            train: The view of the training split that evaluation would use; no held-out data.
        """
        ...
