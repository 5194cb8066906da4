"""The two things that cross every joint: a batch of tensors, and one loss per example."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Batch:
    """Named tensors whose first axis is the example.

    Attributes:
        inputs: What the model sees, by argument name.
        targets: What only the loss sees.
    """

    inputs: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]

    def __len__(self) -> int:
        return next(iter(self.inputs.values())).shape[0]

    @property
    def positions(self) -> int:
        """How many tokens or frames the model reads, padding included; else how many examples."""
        ids = [tensor.numel() for name, tensor in self.inputs.items() if name.endswith("input_ids")]
        frames = self.inputs.get("input_features")
        return sum(ids) or (len(self) if frames is None else frames.shape[0] * frames.shape[1])

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def rows(self, index: slice) -> Batch:
        """Return some of the examples."""
        return self._map(lambda tensor: tensor[index])

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            {name: change(tensor) for name, tensor in self.inputs.items()},
            {name: change(tensor) for name, tensor in self.targets.items()},
        )


@dataclass(frozen=True, slots=True)
class Losses:
    """Per-example loss sums and the counts they are sums over, both of shape (B,)."""

    sums: Tensor
    counts: Tensor

    @property
    def mean(self) -> Tensor:
        """The loss: all sums over all counts, never a mean of means."""
        return self.sums.sum() / self.counts.sum()

    @property
    def each(self) -> Tensor:
        """The mean loss of each example, shape (B,)."""
        return self.sums / self.counts

    def detach(self) -> Losses:
        """Return the same numbers without their graph."""
        return Losses(self.sums.detach(), self.counts.detach())

    @staticmethod
    def cat(parts: Sequence[Losses]) -> Losses:
        """Join the losses of several micro-batches; at least one is needed."""
        return Losses(torch.cat([p.sums for p in parts]), torch.cat([p.counts for p in parts]))


LossFn: TypeAlias = Callable[[nn.Module, Batch], Losses]
