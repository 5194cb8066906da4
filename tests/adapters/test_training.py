"""Adapters in a whole training: exact after a stop, merged into ``model/``, kept apart too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.life import done, lines_of, trained_again, write_life

ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {"name": "lora", "r": 2, "lora_dropout": 0.2},
    "dora": {"name": "lora", "r": 2, "use_dora": True, "lora_dropout": 0.2},
    "ia3": {"name": "peft", "method": "ia3"},
    "freeze": {"name": "freeze", "layers": 0},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run to start from."""
    folder = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_life(folder, {"name": "base"})
        done("train", "tiny.yaml")
    return folder


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_stopped_and_started_again(
    adapter: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = base / "runs" / "base" / "model"
    changes = {
        "task.tokenizer": {"name": "pretrained", "path": str(model)},
        "model": {"name": "gpt", "pretrained": str(model), "dropout": 0.1},
        "train.adapter": ADAPTERS[adapter],
        "train.ema_decay": 0.9,
    }
    write_life(tmp_path, changes)
    done("train", "tiny.yaml")
    run = Path("runs/tiny")
    before = trained_again(run, "tiny.yaml")
    assert lines_of(run) == lines_of(before)
    apart = [f"adapter/{path.name}" for path in (before / "adapter").iterdir()]
    assert apart
    for name in ("model/model.safetensors", *apart):
        assert (run / name).read_bytes() == (before / name).read_bytes(), name
    start, trained = (load_file(f / "model.safetensors") for f in (model, run / "model"))
    assert start.keys() == trained.keys()
    assert torch.equal(start["model.embed_tokens.weight"], trained["model.embed_tokens.weight"])
    done("evaluate", "tiny.yaml")
    done("verify", "runs/tiny")
