"""What labels of real data can reach as they are encoded, by the recipes of ``recipes/``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from luban.core import registry
from luban.core.contracts import Task
from tests.life import luban

RECIPES = Path(__file__).parents[2] / "recipes"
#: Recipes that start from weights which are not here: their tokenizer is learned instead.
PRETRAINED = {"squad11-dev", "sst2-minilm", "wnut17"}
#: Claims that stay below 0.99, and why.
BELOW: dict[str, str] = {}


def _best_is_known(path: Path) -> bool:
    task = yaml.safe_load(path.read_text(encoding="utf-8"))["task"]
    kind = registry.load("tasks", task["name"], Task)  # type: ignore[type-abstract]
    return kind.reachable is not Task.reachable and "tokenizer" in kind.model_fields


READ = sorted(path.stem for path in RECIPES.glob("*.yaml") if _best_is_known(path))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*READ, "presidio-pii"])
def test_labels_reach_the_best_score(
    name: str, here: Path, luban_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUBAN_DATA", str(luban_data))
    recipe, options = RECIPES / f"{name}.yaml", list[str]()
    if name == "presidio-pii":
        recipe = here / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(presidio(luban_data)))
    if name in PRETRAINED:
        options = ["task.tokenizer={name: bpe, vocab_size: 4000}", "model={name: bert}"]
    said = luban("prepare", str(recipe), f"name={name}", "runs=runs", *options)
    assert said.code == 0, said.err
    found = json.loads((here / "runs" / name / "reports/prepare.json").read_text())["claims"]
    reached = {key: one["value"] for key, one in found.items() if "/reachable " in key}
    print(name, reached)
    assert len(reached) == sum(key.endswith("/examples") for key in found)
    for key, value in reached.items():
        share = value / 100 if value > 1 else value
        least = key.split("/reachable ")[1] in ("word-error-rate", "mean-squared-error")
        short = share > 0.01 if least else share < 0.99
        assert short == (f"{name}: {key}" in BELOW), f"{key} is {value}"


def presidio(data: Path) -> dict[str, Any]:
    """The recipe of a set of personal data, whose entities are marked by characters."""
    fields = {"text": "full_text", "entities": "spans"}
    return {
        "name": "presidio-pii",
        "data": {
            "source": {
                "name": "json",
                "path": str(data / "presidio-pii/synth_dataset_v2.json.gz"),
                "fields": fields,
            },
            # Some types stand in one template only: held apart, they could not be learned.
            "split": {"by": "record", "validation": 0.1, "test": 0.2},
        },
        "task": {"name": "token-classification", "tokenizer": "char", "max_length": 512},
        "model": {"name": "rnn"},
        "train": {"max_steps": 1},
    }
