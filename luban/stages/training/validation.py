"""Validation during training: measure, log, and keep the weights if they are the best."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from luban.core.intervals import measured
from luban.core.progress import tracked
from luban.engine.checkpoint import untied
from luban.engine.fit import State, averaged
from luban.engine.run_state import BestValidation
from luban.stages._measuring import Measuring, model_rows
from luban.stages.training.build import Training


def validate(training: Training, step: int) -> None:
    """Measure the validation split, log it, and keep the weights if they are the best.

    Of two validations with the same score, the one with the lower loss is the best.
    """
    state, metrics = training.state, training.task.validation_metrics()
    training.share_statistics()
    with _averaged(state), training.precision.autocast():
        rows = model_rows(
            Measuring(training.task, training.task.validate_batch, metrics, state.model),
            training.validation,
            batch_size=training.options.eval_batch_size,
            world=training.world,
            label="validate",
        )
        found = {m.label: measured(m, rows[m.label], rounds=200) for m in metrics}
        headline, value = metrics[0], float(found[metrics[0].label].value)
        kept = state.run_state
        sign = 1 if headline.higher_is_better else -1
        now = BestValidation(headline.label, headline.unit, value, step)
        if kept.best is None or sign * value > sign * kept.best.value:
            kept.best, kept.waited = now, 0
            if training.options.load_best_model_at_end:
                _keep_weights(state)
        else:
            kept.waited += 1
            if value == kept.best.value and _loss_is_lower(training):
                kept.best = now
                _keep_weights(state)
    values: dict[str, float] = {}
    for name, claim in found.items():
        values[f"validation/{name}"] = float(claim.value)
        ends = {"low": claim.low, "high": claim.high}
        values |= {f"validation/{name}/{end}": v for end, v in ends.items() if v is not None}
    training.log.write(step, values)
    shown = ", ".join(f"{name} {claim}" for name, claim in found.items())
    training.run.say(f"step {step:,}: validation {shown}")


def _keep_weights(state: State) -> None:
    """Keep the weights of the module in the state: they go into checkpoints."""
    tensors = untied(state.model)
    state.best = {name: t.to("cpu", copy=True) for name, t in tensors.items()}


def _loss_is_lower(training: Training) -> bool:
    """Return whether the module has a lower validation loss than the weights that are kept."""
    state = training.state
    if state.best is None:
        return False
    loss = _mean_loss(training)
    current = {name: tensor.clone() for name, tensor in untied(state.model).items()}
    state.model.load_state_dict(state.best, strict=False)
    kept_loss = _mean_loss(training)
    state.model.load_state_dict(current, strict=False)
    return loss < kept_loss


@torch.no_grad()
def _mean_loss(training: Training) -> float:
    """Return the loss of the task on the validation split, as the module is."""
    module, world, size = training.state.model, training.world, training.options.eval_batch_size
    mine = range(world.rank, len(training.validation), world.size)
    sums = counts = 0.0
    module.eval()
    for start in tracked(range(0, len(mine), size), "validation loss"):
        chunk = [training.validation[at] for at in mine[start : start + size]]
        losses = training.task.loss(module, training.task.collate(chunk).to(world.device))
        sums, counts = sums + float(losses.sums.sum()), counts + float(losses.counts.sum())
    module.train()
    sums, counts = world.sum(sums, counts)
    return sums / counts if counts else math.inf


@torch.no_grad()
def swap_averages(state: State) -> None:
    """Exchange the weights and their averages."""
    current = averaged(state.model)
    averages: dict[str, Tensor] = state.ema or {}
    for name, average in averages.items():
        held = current[name].clone()
        current[name].copy_(average)
        average.copy_(held)


@contextmanager
def _averaged(state: State) -> Iterator[None]:
    """Put the averaged weights into the model for a while, if there are any."""
    if state.ema is None:
        yield
        return
    swap_averages(state)
    try:
        yield
    finally:
        swap_averages(state)
