"""Steps and sizes by what a machine can do: measured once, written down, never measured again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from luban.recipe import Recipe
from tests.life import done, losses_of, luban, start, trained_again, write_life

RUN = Path("runs/tiny")
PLAN: dict[str, Any] = {
    "minutes": 0.5,
    "choices": [
        {"min_steps": 100},
        {"min_steps": 20, "changes": {"train.batch_size": 4}},
        {"changes": {"train.batch_size": 2, "model.hidden_size": 8}},
    ],
}


@pytest.fixture
def recipe(here: Path) -> Path:
    """A recipe that trains for as many steps as half a minute allows."""
    return write_life(here, {"plan": PLAN})


def takes(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[int]:
    """Let a step take so many seconds; return the sizes that were measured."""
    sizes: list[int] = []

    def measured(work: Any, size: int) -> float:
        work(size)
        sizes.append(size)
        return seconds

    monkeypatch.setattr("luban.stages._plan.steady_seconds", measured)
    return sizes


@pytest.mark.parametrize(
    ("seconds", "choice", "steps", "batch", "hidden"),
    [(0.1, 0, 24, 8, 16), (1.25, 1, 24, 4, 16), (4.0, 2, 7, 2, 8), (100.0, 2, 1, 2, 8)],
)
def test_the_first_choice_with_enough_steps_is_taken(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, choice: int, steps: int,
    batch: int, hidden: int,
) -> None:  # fmt: skip
    sizes = takes(monkeypatch, seconds)
    said = done("train", recipe)
    assert sizes == [8, 4, 2][: choice + 1]
    kept = Recipe.read(RUN / "recipe.yaml").to_dict()
    assert kept["train"]["max_steps"] == steps
    assert kept["train"]["batch_size"] == batch
    assert kept["model"]["hidden_size"] == hidden
    assert kept["plan"]["chosen"]["choice"] == choice
    assert f"plan: choice {choice + 1}" in said.err + said.out
    assert f"it takes {steps:,}" in said.err + said.out
    assert luban("verify", RUN).code == 0


def test_a_killed_run_keeps_its_plan_and_goes_on_exactly(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes(monkeypatch, 1.25)
    done("train", recipe, "name=whole")
    process = start("train", RUN.parent / "whole" / "recipe.yaml", "name=tiny")
    log = RUN / "metrics.jsonl"
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") < 10):
        time.sleep(0.003)
    process.kill()
    process.communicate()
    sizes = takes(monkeypatch, 0.001)  # now the machine is idle: nothing is measured anew
    done("train", recipe)
    assert sizes == []
    assert losses_of(RUN) == losses_of(RUN.parent / "whole")


def test_another_plan_or_recipe_is_refused_once_training_began(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes(monkeypatch, 1.25)
    done("train", recipe)
    for change, named in (
        ("plan.minutes=2", "plan.minutes: 0.5 -> 2"),
        ("model.num_hidden_layers=2", "model.num_hidden_layers: 1 -> 2"),
    ):
        said = luban("train", recipe, change)
        assert said.code == 2
        assert named in said.err


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("plan.choices=[]", "plan.choices"),
        ("plan.minutes=0", "plan.minutes"),
        ("plan.choices=[{changes: {data.source: lines}}]", "plan.choices.0.changes"),
        ("plan.choices=[{changes: {model.hiden: 8}}]", "hiden"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_one_error(recipe: Path, change: str, named: str) -> None:
    said = luban("train", recipe, change)
    assert said.code == 2
    assert named in said.err
    assert "Traceback" not in said.err


def test_validate_tells_what_would_be_chosen_and_writes_nothing(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes(monkeypatch, 1.25)
    said = done("validate", recipe, "--json").json
    assert "choice 2 (train.batch_size=4)" in said["plan"]
    assert not RUN.exists()


def test_a_run_keeps_its_precision_on_another_machine(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_life(here, {"train.precision": "auto", "train.optimizer": "muon"})
    monkeypatch.setattr("luban.engine.precision.cpu_gain_of_bf16", lambda: 5.0)
    done("train", recipe)
    monkeypatch.setattr("luban.engine.precision.cpu_gain_of_bf16", lambda: 0.02)
    before = trained_again(RUN, str(recipe))
    said = (RUN / "log.txt").read_text()
    assert "products stay in bf16, as when this run began; fp32 would be faster" in said
    assert json.loads((RUN / "training.json").read_text())["precision"] == "bf16"
    assert losses_of(RUN) == losses_of(before)
