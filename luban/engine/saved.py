"""A ``model/`` directory: all that a trained model needs to be loaded again, without its run.

config.json, model.safetensors   Hugging Face layout, where an equivalent exists
tokenizer.json, …                what the task has learned
luban.json                       task and model, as in a recipe
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from luban.core.contracts import GenerationConfigured, Model, Task
from luban.core.errors import RunError
from luban.core.files import write_json
from luban.core.yaml_json import json_of
from luban.engine.checkpoint import untied
from luban.engine.sizes import build

WEIGHTS = "model.safetensors"
_COMPONENTS = "luban.json"


def write_saved(folder: Path, task: Task, model: Model, module: nn.Module) -> None:
    """Write a trained module and its task into a folder.

    Raises:
        CapacityError: if the disk is full.
    """
    signature = task.signature()
    tensors = model.to_hf(untied(module))
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / WEIGHTS, metadata={"format": "pt"})
    write_json(folder / "config.json", model.hf_config(signature))
    if signature.produces in ("next", "sequence") and signature.end is not None:
        ends = [signature.end, *signature.ends]
        special = {
            "bos_token_id": signature.bos,
            "eos_token_id": ends if signature.ends else signature.end,
            "pad_token_id": signature.pad,
        }
        if signature.start is not None:
            special["decoder_start_token_id"] = signature.start
        sampled = signature.produces == "next"
        config = {**special, "do_sample": sampled}
        if isinstance(task, GenerationConfigured):
            config |= task.generation_config()
        write_json(folder / "generation_config.json", config)
    write_json(folder / _COMPONENTS, {"task": task.to_dict(), "model": model.to_dict()})
    task.save(folder)


def read_weights_into(module: nn.Module, model: Model, folder: Path) -> nn.Module:
    """Fill a module from a folder and return it, in evaluation mode.

    Raises:
        RunError: if there are no weights, or they are damaged or do not fit.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise RunError("there are no weights here.", where=path)
    try:
        module.load_state_dict(model.from_hf(load_file(path)))
    except SafetensorError as error:
        raise damaged(path, error) from None
    except (RuntimeError, ValueError) as error:
        raise RunError("the weights do not fit the model.", where=path, got=str(error)) from None
    return module.eval()


def load_saved(folder: Path) -> tuple[Task, Model, nn.Module]:
    """Return task, model and module of a ``model/`` directory that Luban wrote.

    Raises:
        RunError: if the folder is no such directory.
    """
    path = folder / _COMPONENTS
    try:
        parts = json_of(path.read_text(encoding="utf-8"))
        task, model = Task.from_dict(parts["task"]), Model.from_dict(parts["model"])
    except FileNotFoundError:
        raise RunError(
            "there is no trained model of Luban's here.",
            where=folder,
            expected=f"a run's model/ directory, with {_COMPONENTS}",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError("this file is damaged.", where=path, got=str(error)) from None
    task = task.load(folder)
    return task, model, read_weights_into(build(model, task.signature()), model, folder)


def damaged(path: Path, error: Exception) -> RunError:
    """Return the error for a file of weights that cannot be read."""
    return RunError(
        "the file of weights is damaged.",
        where=path,
        got=str(error),
        fix=f"luban train {path.parent.parent} --force writes it again.",
    )
