"""How parameters are grouped for weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

Named = tuple[str, nn.Parameter]


def groups(
    parameters: Sequence[Named], learning_rate: float, weight_decay: float, **options: Any
) -> list[dict[str, Any]]:
    """Return torch parameter groups: matrices with weight decay, vectors without.

    Biases and norms have one dimension; decaying them only pulls the function about. Every
    group has ``initial_lr``, which the loop multiplies with the schedule's factor. Empty
    groups are left out.
    """
    matrices = [named for named in parameters if named[1].ndim >= 2]
    vectors = [named for named in parameters if named[1].ndim < 2]
    rates = {"lr": learning_rate, "initial_lr": learning_rate}
    return [
        {"params": members, **rates, "weight_decay": decay, **options}
        for members, decay in ((matrices, weight_decay), (vectors, 0.0))
        if members
    ]


def fusable(parameters: Sequence[Named]) -> bool:
    """Return whether torch has one kernel for the whole update of these parameters."""
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for _, p in parameters)
