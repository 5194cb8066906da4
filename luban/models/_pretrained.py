"""Read a Hugging Face model directory: configuration and safetensors, never a pickle."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from luban.core.contracts import Model, Signature
from luban.core.errors import RecipeError
from luban.core.extras import require
from luban.core.yaml_json import json_of

M = TypeVar("M", bound=Model)

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"


def locate(name: str) -> Path:
    """Return the folder of a pretrained model: a local one, or a download from the hub.

    Raises:
        RecipeError: if there is neither.
        MissingExtra: if it needs the hub and the client is not installed.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise RecipeError("there is no such folder.", where="model.pretrained", got=name)
    hub = require("huggingface_hub", "hf", "huggingface-hub")
    try:
        return Path(hub.snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except (OSError, ValueError) as error:
        raise RecipeError(
            "neither a folder nor a model that the hub gives.",
            where="model.pretrained",
            got=f"{name} ({str(error).splitlines()[0]})",
            fix="check the name and the network, or give a local folder.",
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """Return ``config.json``.

    Raises:
        RecipeError: if it is missing or is not a JSON object.
    """
    try:
        config = json_of((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(
            f"cannot read config.json ({error}).", where=folder, expected="a Hugging Face model"
        ) from error
    if not isinstance(config, dict):
        raise RecipeError("config.json is not an object.", where=folder, got=config)
    return config


def weight_files(folder: Path) -> list[str]:
    """Return the names of the files that hold the weights: one, or shards.

    Raises:
        RecipeError: if there are no safetensors.
    """
    if (folder / _INDEX).is_file():
        try:
            index = json_of((folder / _INDEX).read_text(encoding="utf-8"))
            shards = sorted({str(name) for name in index["weight_map"].values()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RecipeError(f"cannot read {_INDEX} ({error}).", where=folder) from error
        if out := [name for name in shards if Path(name).name != name]:
            raise RecipeError("a shard lies outside this directory.", where=folder, got=out[0])
        return shards
    if (folder / _WEIGHTS).is_file():
        return [_WEIGHTS]
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    raise RecipeError(
        f"there is no {_WEIGHTS}.",
        where=folder,
        got=f"{', '.join(pickles)}: pickles, which can run code" if pickles else None,
        fix="load it with transformers once and save_pretrained() it as safetensors.",
    )


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return all tensors, from one file or from shards.

    Raises:
        RecipeError: if there are no safetensors, or a shard is missing or broken.
    """
    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder):
        try:
            tensors.update(load_file(folder / file))
        except (OSError, SafetensorError) as error:
            raise RecipeError(f"cannot read {file} ({error}).", where=folder) from error
    return tensors


def resolved(model: M, decided: Mapping[str, Any], folder: Path, free: Collection[str] = ()) -> M:
    """Return a model with the fields that a pretrained directory decides filled in.

    Args:
        model: Fields given in the recipe must agree with the directory.
        decided: Fields read from the directory.
        folder: The directory, for messages.
        free: Fields that no weight depends on: what the recipe gives counts.

    Raises:
        RecipeError: if a field given contradicts the directory.
    """
    theirs = type(model).from_dict({"name": model.name, **decided}, where=str(folder))
    filled = {name: getattr(theirs, name) for name in decided}
    for name in sorted(decided.keys() & model.model_fields_set):
        ours = getattr(model, name)
        if name in free:
            filled[name] = ours
        elif ours is not None and ours != filled[name]:
            raise RecipeError(
                f"{name} contradicts the pretrained model.",
                where=f"model.{name}",
                expected=filled[name],
                got=ours,
                fix="remove the field: it is read from config.json.",
            )
    return model.replace(**filled)


def label_names(signature: Signature) -> dict[str, Any]:
    """Return what ``config.json`` says of the outputs of a classifier or a regression."""
    names = signature.labels or [f"LABEL_{index}" for index in range(signature.outputs)]
    labels = {
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
    }
    return {**labels, "problem_type": signature.problem} if signature.problem else labels


def load_pretrained(
    module: nn.Module, tensors: Mapping[str, Tensor], source: object, fresh: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Load tensors into a module and return the names of parameters that stayed fresh.

    Args:
        module: Changed in place.
        tensors: By the module's own names.
        source: Where they come from, for messages.
        fresh: Beginnings of names that may be missing, or of another shape: a new head.

    Raises:
        RecipeError: naming the first tensors that are missing, left over or of another shape.
    """
    wanted = module.state_dict()
    fit = {n: t for n, t in tensors.items() if n in wanted and wanted[n].shape == t.shape}
    new = tuple(name for name in wanted if name not in fit)
    wrong = [name for name in new if not name.startswith(fresh)]
    over = [name for name in tensors if name not in wanted and not name.startswith(fresh)]
    if wrong or over:
        raise RecipeError(
            "the pretrained weights do not fit this model.",
            where=str(source),
            expected=", ".join(wrong[:5]) or "no others",
            got=", ".join(over[:5]) or "not among the weights, or of another shape",
            fix="compare the recipe's model section with the directory's config.json.",
        )
    module.load_state_dict(fit, strict=False)
    return new
