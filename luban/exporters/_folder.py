"""What stands beside an exported program, so that it can be used without Luban."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from luban.core.contracts import MEASUREMENTS, Product
from luban.core.errors import RunError
from luban.core.files import write_json
from luban.core.yaml_json import json_of
from luban.exporters._model_files import refuse_strange

FILE = "inference.json"
#: Of ``model/``: the weights are in the program, and only Luban reads its own settings.
_NOT_NEEDED = ("model.safetensors", "luban.json", MEASUREMENTS)
#: What the axes of inputs are called, after the first, which is that of examples.
AXES = {
    "input_ids": ("sequence_length",),
    "attention_mask": ("sequence_length",),
    "token_type_ids": ("sequence_length",),
    "decoder_input_ids": ("decoder_sequence_length",),
    "input_features": ("frames", "bands"),
    "pixel_values": ("channels", "height", "width"),
    "noise": ("channels", "height", "width"),
    "labels": (),
}


def furnish(folder: Path, product: Product, model_folder: Path) -> None:
    """Copy tokenizer and settings of ``model/`` into a folder, and describe the program there.

    Raises:
        RunError: if ``model/`` has links that leave it, or code.
    """
    refuse_strange(model_folder)
    for file in sorted(model_folder.iterdir()) if model_folder.is_dir() else ():
        if file.name in _NOT_NEEDED or file.name.startswith(".") or folder.is_relative_to(file):
            continue
        if file.is_dir() and file.resolve() != folder.parent.resolve():
            shutil.copytree(file, folder / file.name, dirs_exist_ok=True)
        elif file.is_file():
            shutil.copyfile(file, folder / file.name)
    describe(folder, product)


def describe(folder: Path, product: Product) -> None:
    """Write ``inference.json`` and the arrays it names."""
    for name, array in product.arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    if not product.meaning:
        return
    inputs = {
        name: {
            "type": str(tensor.dtype).removeprefix("torch."),
            "axes": axes_of(name, tensor.ndim),
        }
        for name, tensor in product.sample.inputs.items()
    }
    about = {"inputs": inputs, "outputs": list(product.outputs)}
    write_json(folder / FILE, {**about, **product.meaning})
    _limit_tokenizer(folder, product.meaning.get("preprocessing", {}).get("max_length"))


def read_settings(path: Path) -> dict[str, Any]:
    """Return the table of a JSON file of ``model/``.

    Raises:
        RunError: if it is damaged.
    """
    try:
        settings = json_of(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError("this file is damaged.", where=path, got=str(error)) from None
    if not isinstance(settings, dict):
        raise RunError("this file is damaged.", where=path, expected="a table")
    return settings


def axes_of(name: str, count: int) -> list[str]:
    """Return what the axes of an input are called."""
    known = AXES.get(name, ())
    return ["batch_size", *(known + tuple(f"axis_{i}" for i in range(1, 9))[len(known) :])][:count]


def _limit_tokenizer(folder: Path, longest: Any) -> None:
    """Let programs that load the tokenizer cut texts where the model was trained to."""
    path = folder / "tokenizer_config.json"
    if longest and path.is_file():
        write_json(path, {**read_settings(path), "model_max_length": longest})
