"""The run's ``model/`` directory: write a trained module in Hugging Face layout, read it back."""

from __future__ import annotations

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
    path = run.path / "model" / "model.safetensors"
    if not path.is_file():
        raise RunError(
            "there is no trained model.", where=run.path, fix=f"luban train {run.path} --force"
        )
    model = run.recipe.model
    module = model.build(task.ports())
    try:
        module.load_state_dict(model.from_hf(load_file(path)))
    except (RuntimeError, ValueError) as error:
        raise RunError("the weights do not fit the recipe.", where=path, got=str(error)) from None
    return module.eval()
