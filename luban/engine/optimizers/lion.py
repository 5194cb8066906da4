"""Lion: the sign of an interpolated momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import nn

from luban.core.contracts import Optimizer
from luban.engine.optimizers._groups import groups


class Lion(Optimizer):
    """Evolved sign momentum (Chen et al. 2023, 2302.06675): half of Adam's memory.

    The paper advises a learning rate 3 to 10 times below AdamW's and a weight decay as many
    times above.
    """

    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.3, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """Return an optimizer whose state is one momentum per parameter."""
        return _Lion(groups(parameters, self.learning_rate, self.weight_decay, betas=self.betas))


class _Lion(torch.optim.Optimizer):
    """``p -= lr * (sign(b1 m + (1 - b1) g) + wd p)``, then ``m = b2 m + (1 - b2) g``."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            grads = [p.grad for p in parameters]
            momenta = [self._momentum(p) for p in parameters]
            beta1, beta2 = group["betas"]
            updates = torch._foreach_lerp(momenta, grads, 1 - beta1)
            torch._foreach_sign_(updates)
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(parameters, updates, alpha=-group["lr"])
            torch._foreach_lerp_(momenta, grads, 1 - beta2)

    def _momentum(self, parameter: nn.Parameter) -> torch.Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        return state["momentum"]  # type: ignore[no-any-return]
