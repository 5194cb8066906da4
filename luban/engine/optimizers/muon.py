"""Muon for hidden matrices, AdamW for everything else, as one optimizer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.adamw import adamw

from luban.core.contracts import Optimizer
from luban.engine.optimizers._groups import fusable, groups

#: Newton-Schulz quintic of Keller Jordan's post: steepest at zero, singular values to .7-1.2.
_QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Momentum made orthogonal (Jordan 2024, kellerjordan.github.io/posts/muon).

    A hidden matrix is a trainable parameter of two dimensions whose name matches none of the
    ``adamw_parameters`` patterns: embeddings and heads are matrices too, but their rows are
    looked up or scored one by one, and Muon does them harm. Those, norms and biases get AdamW
    with its own ``adamw_learning_rate``.

    The products that make a matrix orthogonal are computed in bf16 where the run's are, else in
    fp32.

    Attributes:
        learning_rate: For hidden matrices; the update's singular values are about this.
        weight_decay: Decoupled, for hidden matrices.
        adamw_weight_decay: Decoupled, for the other matrices.
        momentum: Of the gradient average (Nesterov).
        momentum_warmup_steps: Steps in which the momentum rises from .85 to ``momentum``.
        ns_steps: Newton-Schulz steps.
        adjust_lr: ``original``: times sqrt(max(1, rows / columns)); ``match_rms_adamw``: times
            0.2 sqrt(max(rows, columns)), so that AdamW's rate and decay carry over (Liu et al.
            2025, 2502.16982).
        adamw_parameters: Patterns of parameter names that are no hidden matrices.
    """

    learning_rate: float = Field(default=0.02, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    momentum: float = Field(default=0.95, ge=0, lt=1)
    momentum_warmup_steps: int = Field(default=0, ge=0, le=1_000_000_000_000)
    ns_steps: int = Field(default=5, ge=1, lt=100)
    adjust_lr: Literal["original", "match_rms_adamw"] = "original"
    adamw_learning_rate: float = Field(default=3e-3, gt=0)
    adamw_weight_decay: float = Field(default=0.0, ge=0)
    adamw_betas: tuple[float, float] = (0.9, 0.95)
    adamw_eps: float = Field(default=1e-8, gt=0)
    adamw_parameters: tuple[str, ...] = ("*embed*", "*wte*", "*wpe*", "*head.*", "*classifier*")

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """Return one optimizer with groups of both sorts."""
        hidden = [named for named in parameters if self._is_hidden(*named)]
        names = {name for name, _ in hidden}
        others = [named for named in parameters if named[0] not in names]
        muon = {
            "muon": True,
            "momentum": self.momentum,
            "momentum_warmup_steps": self.momentum_warmup_steps,
            "ns_steps": self.ns_steps,
            "adjust_lr": self.adjust_lr,
            "precision": "fp32",
        }
        adam = {
            "muon": False,
            "betas": self.adamw_betas,
            "eps": self.adamw_eps,
            "use_fused": fusable(others),
        }
        return _MuonAdamw(
            groups(hidden, self.learning_rate, self.weight_decay, **muon)
            + groups(others, self.adamw_learning_rate, self.adamw_weight_decay, **adam)
        )

    def _is_hidden(self, name: str, parameter: nn.Parameter) -> bool:
        return parameter.ndim == 2 and not any(fnmatch(name, p) for p in self.adamw_parameters)


class _MuonAdamw(torch.optim.Optimizer):
    def __init__(self, params: Any) -> None:
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            members: list[Tensor] = [p for p in group["params"] if p.grad is not None]
            for parameter in members:
                self._start(parameter, group["muon"])
            if members and group["muon"]:
                self._muon_step(group, members)
            elif members:
                self._adamw_step(group, members)

    def _start(self, parameter: Tensor, muon: bool) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            names = ("momentum_buffer",) if muon else ("exp_avg", "exp_avg_sq")
            state.update({name: torch.zeros_like(parameter) for name in names})

    def _muon_step(self, group: dict[str, Any], members: list[Tensor]) -> None:
        buffers = [self.state[p]["momentum_buffer"] for p in members]
        steps = [self.state[p]["step"] for p in members]
        momentum = _momentum(group, int(steps[0]))
        grads = [p.grad for p in members if p.grad is not None]
        torch._foreach_add_(steps, 1)
        torch._foreach_lerp_(buffers, grads, 1 - momentum)
        averages = torch._foreach_lerp(grads, buffers, momentum)
        dtype = torch.bfloat16 if group["precision"] == "bf16" else torch.float32
        updates = orthogonal(averages, group["ns_steps"], dtype)
        torch._foreach_mul_(members, 1 - group["lr"] * group["weight_decay"])
        for parameter, update in zip(members, updates, strict=True):
            rows, columns = parameter.shape
            scale = math.sqrt(max(1, rows / columns))
            if group["adjust_lr"] == "match_rms_adamw":
                scale = 0.2 * math.sqrt(max(rows, columns))
            parameter.add_(update, alpha=-group["lr"] * scale)

    def _adamw_step(self, group: dict[str, Any], members: list[Tensor]) -> None:
        states = [self.state[p] for p in members]
        beta1, beta2 = group["betas"]
        adamw(
            members,
            [p.grad for p in members if p.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=group["use_fused"],
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def _momentum(group: dict[str, Any], step: int) -> float:
    """Return the momentum of a step: it rises from .85, as in Jordan's speed runs."""
    full, warmup = float(group["momentum"]), int(group["momentum_warmup_steps"])
    if step >= warmup or full <= 0.85:
        return full
    return 0.85 + (full - 0.85) * step / warmup


def orthogonal(matrices: Sequence[Tensor], steps: int, dtype: torch.dtype) -> list[Tensor]:
    """Return each matrix with its singular values moved near 1, computed in ``dtype``.

    Matrices of one shape are iterated together: one batched product instead of many small
    ones, which is what makes Muon cheap on small models.
    """
    by_shape: dict[torch.Size, list[int]] = defaultdict(list)
    for at, matrix in enumerate(matrices):
        by_shape[matrix.shape].append(at)
    results: dict[int, Tensor] = {}
    for members in by_shape.values():
        stack = torch.stack([matrices[at] for at in members])
        results.update(zip(members, _newton_schulz(stack, steps, dtype), strict=True))
    return [results[at] for at in range(len(matrices))]


def _newton_schulz(stack: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """Iterate X <- a X + (b A + c A^2) X with A = X X^T on a stack (N, rows, columns)."""
    a, b, c = _QUINTIC
    norms = torch.linalg.matrix_norm(stack, keepdim=True).clamp(min=1e-7)
    x: Tensor = (stack / norms).to(dtype)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    for _ in range(steps):
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if tall else x
