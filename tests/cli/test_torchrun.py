"""Two processes under torchrun: the curve of one, one set of files, one voice."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.life import done, environment, lines_of, losses_of, write_life


def torchrun(recipe: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "--no-python", sys.executable, "-m", "luban"]
    return subprocess.run(
        [*command, *options[:1], str(recipe), *options[1:]],
        capture_output=True,
        text=True,
        timeout=180,
        env=environment(TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1"),
    )


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_life(tmp_path, {"model.dropout": 0.0})


def test_the_whole_life_in_two_processes(recipe: Path) -> None:
    done("run", recipe, "name=one")
    ran = torchrun(recipe, "run", "name=two")
    assert ran.returncode == 0, ran.stderr[-3000:]
    one, two = Path("runs/one"), Path("runs/two")
    assert losses_of(two) == pytest.approx(losses_of(one), abs=1e-5)
    reports = [json.loads((run / "reports/evaluate.json").read_text()) for run in (one, two)]
    ours, theirs = (report["claims"]["test/loss"]["value"] for report in reports)
    assert theirs == pytest.approx(ours, abs=1e-4)
    assert json.loads((two / "training.json").read_text())["processes"] == 2
    assert ran.stderr.count("train: begins") == 1, "only the first process speaks"
    assert ran.stdout.count("The model card:") == 1
    done("verify", two)


def test_averaged_statistics_are_those_of_the_first_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each validates with its own, and a run that goes on, with the first one's."""
    monkeypatch.chdir(tmp_path)
    grey = np.random.default_rng(0).integers(0, 256, (80, 8, 8), dtype=np.uint8)
    np.savez("grey.npz", images=grey, labels=np.arange(80) % 4)
    recipe = tmp_path / "grey.yaml"
    steps = {"max_steps": 6, "batch_size": 8, "ema_decay": 0.9, "eval_steps": 1, "save_steps": 2}
    fields = {
        "name": "grey",
        "data": {"source": {"name": "arrays", "path": "grey.npz"}, "split": {"validation": 0.5}},
        "task": {"name": "image-classification"},
        "model": {"name": "cnn", "embedding_size": 4, "hidden_sizes": [8]},
        "train": {**steps, "save_total_limit": 9, "precision": "fp32", "compile": "off"},
    }
    recipe.write_text(yaml.safe_dump(fields))
    run = Path("runs/grey")
    assert torchrun(recipe, "train").returncode == 0
    whole = lines_of(run)
    for later in (4, 6):
        shutil.rmtree(run / f"checkpoint-{later}")
    assert torchrun(recipe, "train", "--force").returncode == 0
    assert lines_of(run) == whole


def test_bad_input_ends_every_process(recipe: Path) -> None:
    ran = torchrun(recipe, "train", "train.max_stepz=3")
    assert ran.returncode != 0
    assert "no field 'max_stepz'" in ran.stderr
