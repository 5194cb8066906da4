"""The pairs of a task and a model that fit, kept in ``pairs.json`` so that none vanishes unseen.

``python -m tests.contracts.pairs`` writes the file anew; a test compares it with what fits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luban.core.contracts import Model, Task
from tests.contracts import records
from tests.contracts.makers import make, variants

FILE = Path(__file__).with_name("pairs.json")
_NOWHERE = Path("no-folder")  # neither tasks nor models are made from files


def fitting() -> dict[str, list[str]]:
    """Return the variants of models that fit each variant of a task, by their names."""
    models: list[tuple[str, Model]] = []
    for case in variants("models"):
        _, name, fields = case.values
        models.append((str(case.id), make(Model, name, fields, _NOWHERE)))
    found: dict[str, list[str]] = {}
    for case in variants("tasks"):
        _, name, fields = case.values
        task: Task = make(Task, name, fields, _NOWHERE)
        signature = task.learn(records.RECORDS[name]).signature()
        found[str(case.id)] = [other for other, model in models if model.fits(signature)]
    return found


def pairs() -> list[Any]:
    """Return pytest parameters (task, its fields, model, its fields) of the pairs in the file."""
    tasks = {case.id: case.values[1:] for case in variants("tasks")}
    models = {case.id: case.values[1:] for case in variants("models")}
    return [
        pytest.param(*tasks[task], *models[model], id=f"{task}-{model}")
        for task, fitted in json.loads(FILE.read_text(encoding="utf-8")).items()
        for model in fitted
        if task in tasks and model in models
    ]


if __name__ == "__main__":
    FILE.write_text(json.dumps(fitting(), indent=1) + "\n", encoding="utf-8")
