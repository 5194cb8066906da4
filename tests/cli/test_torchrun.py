"""Two processes under torchrun: the curve of one, one set of files, one voice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.life import done, environment, losses_of, write_life


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


def test_bad_input_ends_every_process(recipe: Path) -> None:
    ran = torchrun(recipe, "train", "train.max_stepz=3")
    assert ran.returncode != 0
    assert "no field 'max_stepz'" in ran.stderr
