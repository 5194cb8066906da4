"""What a training belongs to, flat: a checkpoint of another one is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from luban.core.contracts import Examples, Task
from luban.run import Run
from luban.stages.training.options import TrainingOptions


def identity_of(
    run: Run, options: TrainingOptions, task: Task, examples: Mapping[str, Examples]
) -> dict[str, Any]:
    """Return, flat, everything that decides what a training computes, its examples included.

    Every example is read once. Content of outside files (pretrained weights) is not covered.
    """
    kept = {k: v for k, v in options.to_dict().items() if k not in options.neutral_fields}
    flat: dict[str, Any] = {"seed": run.recipe.seed}
    for split, some in examples.items():
        flat[f"data of {split}"] = _digest_of_examples(some)
    sections = {"task": task.to_dict(), "model": run.recipe.model.to_dict(), "train": kept}
    for name, section in sections.items():
        flat |= flattened(section, name)
    return flat


def flattened(value: Any, path: str) -> dict[str, Any]:
    """Return the values of a tree of plain data by their dotted path; lists stay whole, as JSON."""
    if isinstance(value, dict):
        parts = [flattened(item, f"{path}.{key}") for key, item in value.items()]
        return {key: item for part in parts for key, item in part.items()}
    if isinstance(value, list):
        return {path: json.dumps(value)}
    return {path: value}


def _digest_of_examples(examples: Examples) -> str:
    """Return the SHA-256 of the names, types, shapes and bytes of all arrays, in hexadecimal."""
    digest = hashlib.sha256()
    for index in range(len(examples)):
        for name, value in sorted(examples[index].items()):
            array = np.ascontiguousarray(value)
            digest.update(f"{name} {array.dtype} {array.shape};".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()
