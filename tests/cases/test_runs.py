"""Runs end well and are never silent: divergence, progress, time, and what the card says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.life import done, write_life


@pytest.fixture
def recipe(here: Path) -> Path:
    """A fresh recipe in a fresh working directory."""
    return write_life(here)


def test_validate_says_how_long_a_run_takes(recipe: Path) -> None:
    short = done("validate", recipe, "--json").json
    assert 0 < short["minutes"] < 2
    assert "24 steps" in short["time, about"]
    long = done("validate", recipe, "train.max_steps=240000", "--json").json
    assert long["minutes"] > 100 * short["minutes"]
    said = done("validate", recipe, "train.max_steps=null", "train.max_tokens=3000")
    assert "23 steps" in said.out or "24 steps" in said.out, "128 tokens a step"
    said = done("validate", recipe, "train.max_minutes=7", "train.max_steps=null")
    assert "train 7 min" in said.out


def test_validate_counts_epochs_in_steps(recipe: Path) -> None:
    options = ("train.max_steps=null", "train.num_train_epochs=3", "task.context=8")
    said = done("validate", recipe, *options, "--json").json
    done("train", recipe, *options)
    steps = done("train", recipe, *options, "--json").json["train"]["claims"]["steps"]["value"]
    told = int(said["time, about"].partition(" steps")[0].rpartition("; ")[2].replace(",", ""))
    assert told == pytest.approx(steps, rel=0.1)
