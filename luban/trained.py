"""The run's ``model/`` directory: write a trained module in Hugging Face layout, read it back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from luban.core.contracts import Example, Task
from luban.core.errors import RunError
from luban.core.files import folder_atomic
from luban.engine.saved import WEIGHTS, damaged, read_weights_into, write_saved
from luban.engine.sizes import build
from luban.nn.ngrams import COUNTED
from luban.run import Run

_FEW = 4  #: examples that show whether folding gave the outputs it should


def save_model(run: Run, task: Task, module: nn.Module, examples: Sequence[Example]) -> None:
    """Write ``model/``: configuration, weights and what the task learned.

    What was tuned after training is folded into the weights where they can hold it. The folder is
    written aside and renamed, so it is always whole.

    Args:
        run: The run.
        task: With all it learned.
        module: The trained module, in evaluation mode; it is changed in place.
        examples: At least one.

    Raises:
        CapacityError: if the disk is full.
    """
    batch = task.collate([examples[i] for i in range(min(_FEW, len(examples)))])
    task = task.folded(module, batch.to(next(module.parameters()).device))
    with folder_atomic(run.path / "model") as folder:
        write_saved(folder, task, run.recipe.model, module)


def load_trained(run: Run) -> tuple[Task, nn.Module]:
    """Return the task with all it learned and the trained module, in evaluation mode.

    Raises:
        RunError: if there is no trained model, or its weights do not fit the recipe.
    """
    model, path = run.recipe.model, weights_of(run)
    task = run.recipe.task.load(path.parent)
    return task, read_weights_into(build(model, task.signature()), model, path.parent)


def weights_of(run: Run) -> Path:
    """Return the file of a run's trained weights.

    Raises:
        RunError: if there is none.
    """
    path = run.path / "model" / WEIGHTS
    if not path.is_file():
        raise RunError(
            "there is no trained model.", where=run.path, fix=f"luban train {run.path} --force"
        )
    return path


#: What the buffers of batch normalisation are called, and those of counted n-grams.
_STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked", *COUNTED)


def stored_parameters(path: Path) -> int:
    """Return how many parameters a safetensors file holds, from its header alone.

    Running statistics, which torch stores beside them, are measured and not learned.

    Raises:
        RunError: if it is damaged.
    """
    try:
        with safe_open(path, framework="np") as file:
            stored = list(file.keys())
            learned = [name for name in stored if not name.endswith(_STATISTICS)]
            return sum(math.prod(file.get_slice(name).get_shape()) for name in learned)
    except SafetensorError as error:
        raise damaged(path, error) from None
