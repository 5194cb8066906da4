"""Of validations with one score, that with the lower loss is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.life import done, lines_of
from tests.tasks.test_classification_life import write


def test_the_lower_loss_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights of a later validation are kept, though its score is no higher."""
    monkeypatch.chdir(tmp_path)
    changes = {
        "task.tokenizer": "char",
        "model": {"name": "linear", "features": 400, "slots": 20_000},
        "train.optimizer": {"name": "adam", "learning_rate": 0.02},
        "train.max_steps": 60,
        "train.eval_steps": 10,
        "train.save_steps": 10,
    }
    write(tmp_path, changes, exclusive=True)
    done("prepare", "tiny.yaml")
    done("train", "tiny.yaml")
    run = tmp_path / "runs/tiny"
    scores = {
        line["step"]: line["validation/accuracy"]
        for line in lines_of(run)
        if "validation/accuracy" in line
    }
    highest = [step for step, score in scores.items() if score == max(scores.values())]
    assert len(highest) > 1, "no tie: this test shows nothing"
    best = json.loads((run / "training.json").read_text())["best"]
    assert best["step"] == highest[-1], "of a separable set the loss falls to the end"
    kept = load_file(run / f"checkpoint-{highest[-1]}/best.safetensors")
    last = load_file(run / f"checkpoint-{highest[-1]}/model.safetensors")
    assert torch.equal(kept["stem.weight"], last["stem.weight"])
