"""The run's ``model/`` directory: write a trained module in Hugging Face layout, read it back."""

from __future__ import annotations

import math
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from luban.core.contracts import Task
from luban.core.errors import RunError
from luban.core.files import folder_atomic, write_json
from luban.engine.checkpoint import untied
from luban.run import Run


def save_model(run: Run, task: Task, module: nn.Module) -> None:
    """Write ``model/``: configuration, weights and what the task learned.

    The folder is written aside and renamed, so it is always whole.

    Raises:
        CapacityError: if the disk is full.
    """
    ports = task.ports()
    with folder_atomic(run.path / "model") as folder:
        tensors = run.recipe.model.to_hf(untied(module))
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
        write_json(folder / "config.json", run.recipe.model.hf_config(ports))
        special = {"bos_token_id": ports.end, "eos_token_id": ports.end, "pad_token_id": ports.pad}
        if ports.end is not None:
            write_json(folder / "generation_config.json", {**special, "do_sample": True})
        task.save(folder)


def load_model(run: Run, task: Task) -> nn.Module:
    """Return the trained module of a run, in evaluation mode.

    Raises:
        RunError: if there is no trained model, or its weights do not fit the recipe.
    """
    model, path = run.recipe.model, weights_of(run)
    module = model.build(task.ports())
    try:
        module.load_state_dict(model.from_hf(load_file(path)))
    except SafetensorError as error:
        raise _damaged(path, error) from None
    except (RuntimeError, ValueError) as error:
        raise RunError("the weights do not fit the recipe.", where=path, got=str(error)) from None
    return module.eval()


def weights_of(run: Run) -> Path:
    """Return the file of a run's trained weights.

    Raises:
        RunError: if there is none.
    """
    path = run.path / "model" / "model.safetensors"
    if not path.is_file():
        raise RunError(
            "there is no trained model.", where=run.path, fix=f"luban train {run.path} --force"
        )
    return path


def stored_parameters(path: Path) -> int:
    """Return how many numbers a safetensors file holds, from its header alone.

    Raises:
        RunError: if it is damaged.
    """
    try:
        with safe_open(path, framework="np") as file:
            names = list(file.keys())
            return sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    except SafetensorError as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: SafetensorError) -> RunError:
    return RunError(
        "the file of weights is damaged.",
        where=path,
        got=str(error),
        fix=f"luban train {path.parent.parent} --force writes it again.",
    )
