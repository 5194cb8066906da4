"""Train a model, in the run's own folder or in one below it: one call, killed and resumed alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from luban.core.contracts import Examples, Model, Task
from luban.core.files import sweep
from luban.engine.run_state import RunState
from luban.run import Run
from luban.stages.training.build import build_training
from luban.stages.training.loop import train_to_the_end
from luban.stages.training.options import TrainingOptions
from luban.trained import load_trained


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model that was trained to the end.

    Attributes:
        run: Where it lies: ``model/``, ``training.json``, ``metrics.jsonl`` and checkpoints.
        steps: Optimizer steps taken.
        state: Best validation, energy, and whether training ended early.
    """

    run: Run
    steps: int
    state: RunState

    @property
    def path(self) -> Path:
        """The folder of the trained model, in Hugging Face layout."""
        return self.run.path / "model"

    def load(self) -> tuple[Task, nn.Module]:
        """Return the task with all it learned and the module, in evaluation mode."""
        return load_trained(self.run)


def train_model(
    run: Run,
    options: TrainingOptions,
    task: Task,
    examples: Mapping[str, Examples],
    identity: Mapping[str, Any],
) -> TrainedModel:
    """Train from the last good checkpoint, or from the start, to the end of the budget.

    Called again after a kill it goes on, and ends with the same weights; called again after its
    end it returns the same model. All processes of a distributed stage call it together.

    Args:
        run: The folder it writes into, and the recipe of its model and seed; ``nested_run`` gives
            one for a second training inside a stage.
        options: How long, how fast, how exactly.
        task: With all it learned from the training data.
        examples: Encoded, by split: ``train``, and ``validation`` if there is one.
        identity: Everything that decides what training computes, flat: ``identity_of``, say. A
            checkpoint of another identity is refused.

    Raises:
        CheckpointError: if a training of another identity lies in the folder.
        Diverged: if there are no weights worth keeping.
        KeyboardInterrupt: if it was asked to stop; a checkpoint is saved first.
    """
    training = build_training(run, options, task, examples, identity)
    train_to_the_end(training)
    return TrainedModel(run, training.state.step, training.state.run_state)


def nested_run(
    run: Run, folder: str, task: Task, model: Model | None = None, seed: int | None = None
) -> Run:
    """Return the run of a second training, in a folder below that of a run.

    It belongs to the stage that trains it: its files count as the stage's, the lock of the run
    holds for it, and what it says is also shown.

    Args:
        run: The run whose stage trains a second model.
        folder: Relative path; one for each model.
        task: Of the second model.
        model: If it is not the recipe's.
        seed: If it is not the recipe's.
    """
    recipe, path = run.recipe, run.path / folder
    recipe = recipe.replace(
        task=task,
        model=recipe.model if model is None else model.resolve(),
        seed=recipe.seed if seed is None else seed,
    )
    if run.main:
        path.mkdir(parents=True, exist_ok=True)
        sweep(path)  # what a killed command left behind
    return Run(path, recipe, run.console, main=run.main)
