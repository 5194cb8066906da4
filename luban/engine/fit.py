"""The loop. It knows tensors, losses and time; it knows no task, no file and no screen.

    for step in fit(state, loader.batches(state.step), plan, world):
        ...  # log, validate, save, or break

Everything that training changes is in ``State``; everything it does not change is in
``Plan``. The random numbers of a step depend on (seed, step, rank) alone, so a run that
goes on from a saved ``State`` computes what an uninterrupted one would have.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from luban.core.batch import Batch, LossFn
from luban.core.contracts import Mechanism, Schedule
from luban.core.errors import DataError
from luban.engine.budget import Budget
from luban.engine.guard import Guard
from luban.engine.precision import Precision
from luban.engine.run_state import RunState
from luban.engine.world import World

#: Steps in a row without anything to learn from that end training.
IDLE = 100


@dataclass(slots=True)
class State:
    """All that training changes: save it, and training can go on as if never stopped.

    Attributes:
        model: The module whose weights are trained and saved.
        optimizer: Built over the model's named parameters.
        forward: What computes, if not ``model`` itself: its compiled twin, say.
        step: Optimizer steps done.
        tokens: Positions (or examples) that carried a loss, over all processes.
        positions: Tokens the model has read, padding included, over all processes.
        seconds: Time spent training; validation and saving do not count.
        ema: Averaged weights and statistics by name, if the plan asks for them.
        best: The weights to keep in the end, if the caller chose some, by name.
        guard: What the divergence guard remembers.
        scaler: fp16 only.
        run_state: What the caller wants kept in checkpoints: best score, decisions.
    """

    model: nn.Module
    optimizer: Optimizer
    forward: nn.Module | None = None
    step: int = 0
    tokens: int = 0
    positions: int = 0
    seconds: float = 0.0
    ema: dict[str, Tensor] | None = None
    best: dict[str, Tensor] | None = None
    guard: Guard = field(default_factory=Guard)
    scaler: torch.amp.GradScaler | None = None
    run_state: RunState = field(default_factory=RunState)


@dataclass(frozen=True, slots=True)
class Plan:
    """What stays the same during training.

    Attributes:
        loss: Per-example loss.
        mechanism: How per-example losses become the gradient.
        schedule: The learning rate as a share of its peak.
        budget: When to end, in steps, tokens or minutes.
        seed: Seed of the run.
        max_grad_norm: Gradients longer than this are shortened to it (0: never).
        ema_decay: Decay of the averaged weights (0: none are kept).
        precision: What products are computed in.
    """

    loss: LossFn
    mechanism: Mechanism
    schedule: Schedule
    budget: Budget
    seed: int = 0
    max_grad_norm: float = 1.0
    ema_decay: float = 0.0
    precision: Precision = field(default_factory=Precision)

    def progress(self, state: State) -> float:
        """Return the share of the budget that is used; 1 or more means done."""
        return self.budget.progress(state.step, state.tokens, state.seconds)


@dataclass(frozen=True, slots=True)
class Step:
    """One step, as the caller sees it; the same in every process.

    Attributes:
        index: Steps done, this one included.
        loss: All loss sums over all counts, over all processes.
        lr: Learning rate of the first parameter group.
        grad_norm: Norm of the gradient before clipping.
        count: Positions (or examples) of this step that carried a loss.
        tokens: The same, summed since the start of training.
        positions: Tokens of this step that the model read, padding included.
        seconds: Training time of this step.
        progress: Share of the budget used after this step.
        skipped: Whether no weight changed: nothing carried a loss, or fp16 overflowed.
    """

    index: int
    loss: float
    lr: float
    grad_norm: float
    count: int
    tokens: int
    positions: int
    seconds: float
    progress: float
    skipped: bool = False


def fit(
    state: State, batches: Iterator[Sequence[Batch]], plan: Plan, world: World | None = None
) -> Iterator[Step]:
    """Train until the budget is used, yielding after every step.

    Between two steps the generator is suspended: the caller may validate, save or stop.

    Args:
        state: Changed in place.
        batches: This process's micro-batches of each step, from ``state.step`` on; a step may
            have none.
        plan: Loss, mechanism, schedule, budget and so on.
        world: The processes that train together; alone if None.

    Raises:
        Diverged: if the loss or the gradient is not finite, or the loss rose and stayed up.
            The bad step is not applied.
        DataError: if many steps in a row have nothing to learn from.
    """
    world, idle = world or World(), 0
    if state.scaler is None:
        state.scaler = plan.precision.scaler()
    if plan.ema_decay and state.ema is None:
        state.ema = {n: tensor.clone() for n, tensor in averaged(state.model).items()}
    while (progress := plan.progress(state)) < 1:
        start = time.perf_counter()
        state.model.train()
        lr = _set_groups(state, plan.schedule.factor(state.step, progress), plan.precision.name)
        seed_step(plan.seed, state.step, world.rank)
        loss_sum, count, positions = _gradients(state, next(batches), plan, world)
        idle = 0 if count else idle + 1
        if idle >= IDLE:
            raise DataError(
                f"{IDLE} steps in a row have nothing to learn from: every label is masked.",
                fix="look for rows without an answer, or raise the maximum length.",
            )
        grad_norm, skipped = _update(state, plan, loss_sum, count)
        state.step += 1
        state.tokens += int(count)
        state.positions += positions
        seconds = world.from_main(time.perf_counter() - start)
        state.seconds += seconds
        yield Step(
            index=state.step,
            loss=loss_sum / count if count else math.nan,
            lr=lr,
            grad_norm=grad_norm,
            count=int(count),
            tokens=state.tokens,
            positions=positions,
            seconds=seconds,
            progress=plan.progress(state),
            skipped=skipped,
        )


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed torch's generators for one step of one process."""
    mixed = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(mixed[0]))


def averaged(model: nn.Module) -> dict[str, Tensor]:
    """Return, by name, what averaging is about: weights and running statistics, tied ones once."""
    found: dict[str, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point() and all(tensor is not known for known in found.values()):
            found[name] = tensor
    return {name: tensor.detach() for name, tensor in found.items()}


def _set_groups(state: State, factor: float, precision: str) -> float:
    """Tell the optimizer of this step's learning rate and of the products; return the rate."""
    for group in state.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
        group["precision"] = precision
    return float(state.optimizer.param_groups[0]["lr"])


def _gradients(
    state: State, micro_batches: Sequence[Batch], plan: Plan, world: World
) -> tuple[float, float, int]:
    """Fill every ``.grad`` with the gradient sum over all processes.

    Returns:
        Loss sum, count and positions read, over all processes.
    """
    state.optimizer.zero_grad(set_to_none=True)
    loss = plan.precision.cast(_scaled(plan.loss, state.scaler))
    model = state.model if state.forward is None else state.forward
    totals = torch.zeros(3, dtype=torch.float64, device=world.device)  # loss, count, positions
    for batch in micro_batches:
        batch = batch if world.device.type == "cpu" else batch.to(world.device)
        losses = plan.mechanism.accumulate(model, batch, loss)
        totals[0] += losses.sums.sum(dtype=torch.float64)
        totals[1] += losses.counts.sum(dtype=torch.float64)
        totals[2] += batch.positions
    shared = [totals]
    for parameter in _trained(state.model):
        if parameter.grad is None:  # no micro-batch here, or a weight that nothing used
            parameter.grad = torch.zeros_like(parameter)
        shared.append(parameter.grad)
    world.sum_(shared)
    loss_sum, count, positions = totals.tolist()
    scale = state.scaler.get_scale() if state.scaler else 1.0
    return loss_sum / scale, count, int(positions)


def _update(state: State, plan: Plan, loss_sum: float, count: float) -> tuple[float, bool]:
    """Apply one step; return the gradient norm, and whether no weight changed.

    That is so where fp16 overflowed, or where nothing counted and the mechanism adds no noise.
    """
    parameters = _trained(state.model)
    if state.scaler is not None:
        state.scaler.unscale_(state.optimizer)
    plan.mechanism.finish_gradient(parameters, loss_sum, count)
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = get_total_norm(grads)
    grad_norm = float(norm)
    overflowed = state.scaler is not None and not np.isfinite(grad_norm)
    if count == 0 and grad_norm == 0:  # not even weights decay
        if state.scaler is not None:
            state.scaler.update()
        return grad_norm, True
    if count and not overflowed:
        state.guard.check(state.step, loss_sum / count, grad_norm)
    if plan.max_grad_norm and grad_norm > plan.max_grad_norm:
        clip_grads_with_norm_(parameters, plan.max_grad_norm, norm)
    if state.scaler is None:
        state.optimizer.step()
    else:
        state.scaler.step(state.optimizer)
        state.scaler.update()
    if state.ema is not None and not overflowed:
        _average(state, plan.ema_decay)
    return grad_norm, overflowed


def _average(state: State, decay: float) -> None:
    """Move the averaged weights towards the weights, faster while training is young."""
    young = (1 + state.step) / (10 + state.step)
    current = averaged(state.model)
    averages = state.ema or {}
    torch._foreach_lerp_(
        list(averages.values()),
        [current[name] for name in averages],
        1 - min(decay, young),
    )


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _scaled(loss: LossFn, scaler: torch.amp.GradScaler | None) -> LossFn:
    """Return the loss times the fp16 scale, so that small gradients do not vanish."""
    if scaler is None:
        return loss

    def scaled(model: nn.Module, batch: Batch) -> Any:
        losses = loss(model, batch)
        return type(losses)(scaler.scale(losses.sums), losses.counts)

    return scaled
