"""How a training ends: which weights are kept, and what is told of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from luban.core.errors import Diverged
from luban.core.files import folder_atomic
from luban.core.progress import tracked
from luban.engine.fit import State, averaged, fit
from luban.stages._figures import plot_loss
from luban.trained import save_model

if TYPE_CHECKING:
    from luban.stages._training import Training


def diverged(training: Training, error: Diverged) -> dict[str, Any]:
    """Return what is told of a divergence, as plain data.

    ``step`` is the step whose loss was the first bad one. That loss was computed with weights that
    the step before had made; so the last weights whose loss was good are those of one step earlier
    still: ``healthy``.
    """
    at = training.state.step + 1
    if math.isfinite(error.after):
        text = f"the loss rose from {error.before:.4g} to {error.after:.4g} at step {at:,}"
        text += f", after the first high loss at step {error.began + 1:,}"
    else:
        text = f"the loss or its gradient was no finite number at step {at:,}"
    return {
        "because": "diverged",
        "text": text,
        "step": error.began + 1,
        "healthy": error.began - 1,
    }


def interrupted(training: Training) -> dict[str, Any]:
    """Return what is told of a training that was not gone on with."""
    text = f"training was interrupted, and not gone on with, at step {training.state.step:,}"
    return {"because": "interrupted", "text": text, "step": training.state.step}


def keep_the_good(training: Training) -> None:
    """Put the weights to keep into the state, if training was stopped early, and say it.

    These are the best ones of a validation until then, or else the last ones whose loss was good.

    Raises:
        Diverged: if there are none.
    """
    state = training.state
    verdict: dict[str, Any] | None = state.memo.get("stopped")
    if verdict is None:
        return
    if verdict["because"] == "diverged":
        healthy, best = verdict["healthy"], state.memo.get("best")
        if state.best is None or best is None or best["step"] > healthy:
            if healthy >= 1:
                _go_back(training, healthy)
            elif state.best is None:
                raise _nothing_good(training, verdict)
    best = state.memo.get("best")
    kept = int(best["step"]) if best and state.best is not None else state.step
    verdict["kept"] = kept
    training.run.say(
        f"train: stopped early: {verdict['text']}; the weights of step {kept:,} are kept"
    )


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
    cost = options.mechanism.cost(state.step, options.batch_size, training.loader.size)
    run.write_json(
        "training.json",
        {
            "steps": state.step,
            "tokens": state.tokens,
            "seconds": state.seconds,
            "parameters": training.parameters,
            "flop_per_token": training.flop_per_token,
            "peak_flop_per_second": training.mean_peak,
            "energy": state.memo["energy"],
            "compiled": state.memo["compile"],
            "precision": training.precision.name,
            "processes": training.world.size,
            "device": str(training.world.device),
            "best": state.memo.get("best"),
            "kept": "last step" if state.best is None else "best validation",
            "stopped": state.memo.get("stopped"),
            "cost": dict(cost),
        },
    )
    plot_loss(run)


@torch.no_grad()
def swap_averages(state: State) -> None:
    """Exchange the weights and their averages."""
    current = averaged(state.model)
    averages: dict[str, Tensor] = state.ema or {}
    for name, average in averages.items():
        held = current[name].clone()
        current[name].copy_(average)
        average.copy_(held)


def _go_back(training: Training, step: int) -> None:
    """Make the state of an earlier step again, from the checkpoint before it, and validate it.

    What a step computes depends on the state before it alone, so these are the same weights.
    """
    state, run = training.state, training.run
    memo, best = state.memo, state.best
    counted = state.tokens, state.positions, state.seconds
    if training.checkpoints.load(state, until=step) is None:
        raise _nothing_good(training, memo["stopped"])
    run.say(f"train: goes back to step {step:,}, the last one whose loss was good")
    steps = fit(state, training.loader.batches(state.step), training.plan, training.world)
    for _ in tracked(range(step - state.step), f"train again up to step {step:,}"):
        next(steps)
    state.memo, state.best = memo, best
    state.tokens, state.positions, state.seconds = counted
    if training.validation:
        training.validate(step)


def _nothing_good(training: Training, verdict: dict[str, Any]) -> Diverged:
    optimizer, name = training.options.optimizer, training.run.recipe.name
    rate = getattr(optimizer, "learning_rate", None)
    change = f"train.optimizer.learning_rate={rate / 10:g}" if rate else "train.max_grad_norm=0.1"
    return Diverged(
        f"training diverged before it had learned anything: {verdict['text']}.",
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
