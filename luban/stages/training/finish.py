"""How a training ends: which weights are kept, and what is told of it."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from luban.core.errors import Diverged
from luban.core.files import folder_atomic
from luban.core.progress import tracked
from luban.engine.fit import fit
from luban.engine.run_state import EarlyStop
from luban.stages._figures import plot_loss
from luban.stages.training.build import Training
from luban.stages.training.validation import swap_averages, validate
from luban.trained import save_model


def diverged(error: Diverged, step: int) -> EarlyStop:
    """Return what is told of a divergence after so many steps.

    ``step`` of what is returned is the step whose loss was the first bad one. That loss was
    computed with weights that the step before had made; so the last weights whose loss was good
    are those of one step earlier still: ``healthy``.
    """
    at = step + 1
    if math.isfinite(error.after):
        text = f"the loss rose from {error.before:.4g} to {error.after:.4g} at step {at:,}"
        text += f", after the first high loss at step {error.began + 1:,}"
    else:
        text = f"the loss or its gradient was no finite number at step {at:,}"
    return EarlyStop("diverged", text, step=error.began + 1, healthy=error.began - 1)


def interrupted(step: int) -> EarlyStop:
    """Return what is told of a training that was not gone on with after so many steps."""
    text = f"training was interrupted, and not gone on with, at step {step:,}"
    return EarlyStop("interrupted", text, step=step)


def keep_the_good(training: Training) -> None:
    """Put the weights to keep into the state, if training was stopped early, and say it.

    These are the best ones of a validation until then, or else the last ones whose loss was good.

    Raises:
        Diverged: if there are none.
    """
    state, stopped = training.state, training.state.run_state.stopped
    if stopped is None:
        return
    if stopped.healthy is not None:
        best = state.run_state.best
        if state.best is None or best is None or best.step > stopped.healthy:
            if stopped.healthy >= 1:
                _go_back(training, stopped, stopped.healthy)
            elif state.best is None:
                raise _nothing_good(training, stopped)
    best = state.run_state.best
    kept = best.step if best is not None and state.best is not None else state.step
    state.run_state.stopped = replace(stopped, kept=kept)
    training.run.say(f"train: stopped early: {stopped.text}; the weights of step {kept:,} are kept")


def conclude(training: Training) -> None:
    """Write ``model/``, ``training.json`` and the curve."""
    state, options, run = training.state, training.options, training.run
    if state.best is not None:
        state.model.load_state_dict(state.best, strict=False)
    elif state.ema is not None:
        swap_averages(state)
    if not run.main:
        return
    _write_model(training)
    kept = state.run_state.to_dict()
    cost = options.mechanism.cost(state.step, options.batch_size, training.loader.size)
    run.write_json(
        "training.json",
        {
            "steps": state.step,
            "tokens": state.tokens,
            "seconds": state.seconds,
            "parameters": training.parameters,
            "flop_per_token": training.costs.flop_per_token,
            "peak_flop_per_second": training.costs.mean_peak,
            "energy": kept["energy"],
            "compiled": kept["compile"],
            "precision": training.precision.name,
            "processes": training.world.size,
            "device": str(training.world.device),
            "best": kept.get("best"),
            "kept": "last step" if state.best is None else "best validation",
            "stopped": kept.get("stopped"),
            "cost": dict(cost),
        },
    )
    plot_loss(run, training.task)


def _go_back(training: Training, stopped: EarlyStop, step: int) -> None:
    """Make the state of an earlier step again, from the checkpoint before it, and validate it.

    What a step computes depends on the state before it alone, so these are the same weights.
    """
    state, run = training.state, training.run
    kept, best = state.run_state, state.best
    counted = state.tokens, state.positions, state.seconds
    if training.checkpoints.load(state, until=step) is None:
        raise _nothing_good(training, stopped)
    run.say(f"train: goes back to step {step:,}, the last one whose loss was good")
    steps = fit(state, training.loader.batches(state.step), training.plan, training.world)
    for _ in tracked(range(step - state.step), f"train again up to step {step:,}"):
        next(steps)
    state.run_state, state.best = kept, best
    state.tokens, state.positions, state.seconds = counted
    if training.validation:
        validate(training, step)


def _nothing_good(training: Training, stopped: EarlyStop) -> Diverged:
    optimizer, name = training.options.optimizer, training.run.recipe.name
    rate = getattr(optimizer, "learning_rate", None)
    change = f"train.optimizer.learning_rate={rate / 10:g}" if rate else "train.max_grad_norm=0.1"
    return Diverged(
        f"training diverged before it had learned anything: {stopped.text}.",
        got=f"optimizer {optimizer.name}, products in {training.precision.name}",
        fix=f"luban run RECIPE name={name}-2 {change}; a lower learning_rate helps most often, and "
        "values out of range in the data are looked for next.",
    )


def _write_model(training: Training) -> None:
    """Calibrate on validation data, keep what an adapter learned apart, write ``model/``."""
    module, adapter = training.state.model.eval(), training.options.adapter
    size, examples = training.options.eval_batch_size, training.validation
    device = training.world.device
    batches = (
        training.task.collate([examples[i] for i in range(at, min(at + size, len(examples)))])
        for at in tracked(range(0, len(examples), size), "calibrate")
    )
    with torch.inference_mode():
        task = training.task.calibrate(module, (batch.to(device) for batch in batches))
    if hasattr(module, "auxiliary"):
        del module.auxiliary
    if adapter is not None:
        with folder_atomic(training.run.path / "adapter") as folder:
            adapter.save(module, training.run.recipe.model, folder)
        module = adapter.merge(module)
    looked = examples or training.task.view(training.train, None, 0)
    save_model(training.run, task, module, looked)
