"""Objectives in a whole training: exact after a stop, nothing of theirs in ``model/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.life import done, lines_of, losses_of, trained_again, write_life

OBJECTIVES: dict[str, list[dict[str, Any]]] = {
    "vat": [{"name": "adversarial", "method": "vat"}],
    "distillation": [{"name": "distillation", "teacher": "{base}/runs/base"}],
    "all": [
        {
            "name": "multi-task",
            "task": {"name": "text-generation", "tokenizer": "char", "context": 10},
            "source": {"name": "text", "path": "text.txt", "document": "line"},
        },
        {"name": "distillation", "teacher": "{base}/runs/base", "hidden_weight": 0.5},
        {"name": "denoising"},
        {"name": "adversarial", "method": "pgd", "steps": 2},
    ],
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run that can teach."""
    folder = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_life(folder, {"name": "base"})
        done("train", "tiny.yaml")
    return folder


@pytest.mark.parametrize("name", OBJECTIVES)
def test_stopped_and_started_again(
    name: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = [
        {key: value.format(base=base) if key == "teacher" else value for key, value in one.items()}
        for one in OBJECTIVES[name]
    ]
    write_life(tmp_path, {"train.objectives": made})
    run = Path("runs/tiny")
    done("train", "tiny.yaml")
    before = trained_again(run, "tiny.yaml")
    assert lines_of(run) == lines_of(before)
    weights = "model/model.safetensors"
    assert (run / weights).read_bytes() == (before / weights).read_bytes()
    plain = base / "runs/base"
    assert load_file(run / weights).keys() == load_file(plain / weights).keys()
    assert losses_of(run) != losses_of(plain)
    auxiliary = [n for n in load_file(run / "checkpoint-24/model.safetensors") if "auxiliary" in n]
    assert bool(auxiliary) == (name == "all")
    done("evaluate", "tiny.yaml")
    done("verify", "runs/tiny")
