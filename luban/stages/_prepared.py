"""What ``prepare`` left behind: the encoded splits, and what a checkpoint belongs to."""

from __future__ import annotations

import json
from typing import Any

from luban.core.contracts import Stage
from luban.core.errors import RunError
from luban.data.cache import cache_key, encoded
from luban.data.store import Store
from luban.run import Run


def open_store(run: Run, split: str) -> Store:
    """Return the encoded examples of a split; encodes them again if the cache is gone.

    Raises:
        RunError: if the data changed since ``prepare``.
    """
    task, known = run.task(), run.read_json("prepared.json")["splits"]
    if split not in known:
        raise RunError(f"there is no split {split!r}.", where=run.path, expected=", ".join(known))
    if cache_key(task, run.recipe.data, split) != known[split]:
        raise RunError(
            f"the data of the split {split!r} changed since they were prepared.",
            where=run.path,
            fix=f"luban prepare {run.path}, or bring the old files back.",
        )

    def progress(records: int, characters: int) -> None:
        run.console.progress(f"encode {split}", characters, characters * 1.001 + 1)

    return encoded(task, run.recipe.data, split, progress)


def held_out_split(run: Run) -> str:
    """Return the split to evaluate on: test, or validation where there is no test.

    Raises:
        RunError: if there is neither.
    """
    for split in ("test", "validation"):
        if run.has_split(split):
            return split
    raise RunError(
        "there is nothing to evaluate on.",
        where=run.path,
        fix="give data.split a share for test or validation.",
    )


def identity(run: Run, train: Stage) -> dict[str, Any]:
    """Return, flat, everything that decides what training computes."""
    recipe = run.recipe
    sections = {
        "task": recipe.task.to_dict(),
        "model": recipe.model.to_dict(),
        "train": train.essence(),
    }
    flat: dict[str, Any] = {"seed": recipe.seed}
    for split, key in run.read_json("prepared.json")["splits"].items():
        flat[f"data of {split}"] = key
    for name, section in sections.items():
        flat |= _flat(section, name)
    return flat


def _flat(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, dict):
        parts = [_flat(item, f"{path}.{key}") for key, item in value.items()]
        return {key: item for part in parts for key, item in part.items()}
    if isinstance(value, list):
        return {path: json.dumps(value)}
    return {path: value}
