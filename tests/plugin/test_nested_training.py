"""A stage that trains models of its own: whole, killed and gone on with, and verified."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.life import ROOT, environment, lines_of, write_life

PACKAGE = Path(__file__).parent / "shadows"
OPTIONS = {
    "max_steps": 30,
    "batch_size": 8,
    "optimizer": {"name": "adamw", "learning_rate": 0.02},
    "precision": "fp32",
    "compile": "off",
    "logging_steps": 1,
    "eval_steps": 10,
    "save_steps": 4,
}
SHADOW = {
    "model": {"name": "gpt", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2},
    "training": OPTIONS,
}
ENVIRONMENT = environment(PYTHONPATH=f"{PACKAGE}:{ROOT}")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "luban", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def luban(folder: Path, *arguments: str, code: int = 0) -> str:
    process = start(folder, *arguments)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    return errors


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of the whole stage, and a copy of the run before it."""
    folder = tmp_path_factory.mktemp("shadows")
    write_life(folder, {"shadow": SHADOW})
    luban(folder, "train", "tiny.yaml")
    shutil.copytree(folder / "runs/tiny", folder / "trained")
    luban(folder, "shadow", "runs/tiny")
    return folder


def test_both_are_trained_and_verified(whole: Path) -> None:
    run = whole / "runs/tiny"
    weights = [(run / f"shadow/{half}/model/model.safetensors").read_bytes() for half in (0, 1)]
    assert weights[0] != weights[1]
    config = json.loads((run / "shadow/0/model/config.json").read_text())
    assert config["hidden_size"] == 8
    for half in (0, 1):
        assert [line["step"] for line in lines_of(run / f"shadow/{half}")][-1] == 30
        assert json.loads((run / f"shadow/{half}.json").read_text())["metric"]
    luban(whole, "verify", "runs/tiny")


@pytest.mark.parametrize(("half", "line"), [(0, 9), (1, 14)])
def test_killed_in_the_second_training_it_goes_on(
    half: int, line: int, whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole / "trained", tmp_path / "runs/tiny")
    shutil.copy(whole / "text.txt", tmp_path)
    run = tmp_path / "runs/tiny"
    process = start(tmp_path, "shadow", "runs/tiny")
    log = run / f"shadow/{half}/metrics.jsonl"
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") < line):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "killed while training"
    assert not (run / f"shadow/{half}/training.json").exists()
    assert "goes on from checkpoint-" in luban(tmp_path, "shadow", "runs/tiny")
    for number in (0, 1):
        one, other = (folder / f"shadow/{number}" for folder in (run, whole / "runs/tiny"))
        assert lines_of(one) == lines_of(other)
        weights = "model/model.safetensors"
        assert (one / weights).read_bytes() == (other / weights).read_bytes()
    luban(tmp_path, "verify", "runs/tiny")


def test_a_training_of_other_options_is_refused(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / "runs/tiny", tmp_path / "runs/tiny")
    shutil.copy(whole / "text.txt", tmp_path)
    recipe: Any = (tmp_path / "runs/tiny/recipe.yaml").read_text()
    shutil.copy(whole / "tiny.yaml", tmp_path)
    assert "learning_rate" in recipe
    changed = "shadow.training.optimizer.learning_rate=0.5"
    errors = luban(tmp_path, "shadow", "tiny.yaml", changed, code=2)
    assert "train.optimizer.learning_rate: 0.02 -> 0.5" in errors
