"""The truth, told as a prediction, scores best: each record of each data set, and all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luban.core.contracts import Example, Metric, Record, Task
from luban.core.errors import UnfitError
from luban.data.checks.reachable_score import reach
from luban.data.views.in_memory import InMemoryExamples
from luban.recipe import Recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
LEARNED, LOOKED = 2000, 150  #: records that are learned from, and looked at in each split


def said(target: Any) -> Any:
    """Return a target as a perfect prediction would say it."""
    if "references" in target:
        return {"text": target["references"][0]}
    if "answers" in target:
        return {"answer": (*target["answers"], "")[0]}
    tokens = {"nats": 0.0, "correct": target["tokens"]} if "tokens" in target else {}
    return {**target, **tokens}


def rows_of(metric: Metric, pairs: list[tuple[Any, Any]]) -> np.ndarray[Any, Any]:
    return np.array([metric.statistics(*pair) for pair in pairs], np.float64)


def spread(recipe: Recipe, split: str, count: int) -> list[Record]:
    """Return records from all over a split: a file may be sorted by label."""
    every = list(recipe.data.records(split))
    return every[:: max(1, len(every) // count)][:count]


def encoded(task: Task, recipe: Recipe, split: str) -> list[Example]:
    examples = []
    for record in spread(recipe, split, LOOKED):
        try:
            examples.append(task.encode(record))
        except UnfitError:
            continue
    return examples


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_truth_scores_best(
    path: Path, luban_data: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUBAN_DATA", str(luban_data))
    recipe = Recipe.read(path, [])
    if recipe.task.name == "image-generation" or "pretrained" in path.read_text():
        pytest.skip("what is made has no truth" if "pret" not in path.read_text() else "no weights")
    task = recipe.task.learn(spread(recipe, "train", LEARNED))
    for split in recipe.data.available_splits():
        store = InMemoryExamples(encoded(task, recipe, split))
        view = task.view(store, None, 0)
        targets = [task.target(view[index]) for index in range(min(LOOKED, len(view)))]
        pairs = [(said(target), target) for target in targets]
        measured = 0
        for metric in task.metrics():
            if not np.isfinite(metric.best) or not metric.sampled:
                continue
            rows = rows_of(metric, pairs)
            for group in (rows, *rows[:, np.newaxis]):
                if not metric.undefined(group):
                    assert metric.compute(group) == pytest.approx(metric.best, abs=1e-9)
                    measured += 1
        assert measured > len(pairs)
        if found := reach(task, store, 0):
            assert 0 <= found.value <= found.best or found.best == 0 <= found.value
