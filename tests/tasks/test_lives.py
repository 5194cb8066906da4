"""Every task lives: from records to a card that verifies, and a killed training resumes exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from luban.core import registry
from luban.core.contracts import MEASUREMENTS, Model, Task
from luban.stages.training import loop
from tests.contracts.makers import MAKE, make
from tests.contracts.records import RECORDS
from tests.life import done, lines_of, luban

TASKS = registry.names("tasks")


def write_recipe(folder: Path, name: str, samples: Path) -> Path:
    """Write records and a recipe for a task, with the first small model that is made for it."""
    fields = MAKE.get(f"tasks/{name}", [{}])[0]
    records = [{k: v for k, v in r.items() if not k.startswith("_")} for r in RECORDS[name]]
    rows = [json.dumps(record, ensure_ascii=False) for record in records * 8]
    for split in ("train", "validation", "test"):
        (folder / f"{split}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    signature = make(Task, name, fields, samples).learn(RECORDS[name]).signature()
    model, its = next(
        (model, its)
        for model in registry.names("models")
        for its in MAKE.get(f"models/{model}", [])
        if make(Model, model, its, samples).fits(signature)
    )
    recipe: dict[str, Any] = {
        "name": "tiny",
        "data": {
            "source": {
                "name": "jsonl",
                "path": {split: f"{split}.jsonl" for split in ("train", "validation", "test")},
            },
            "max_overlap": 1.0,
        },
        "task": {"name": name, **json.loads(json.dumps(fields).replace("{folder}", str(samples)))},
        "model": {"name": model, **its},
        "train": {
            "max_steps": 6,
            "batch_size": 4,
            "optimizer": {"name": "adamw", "learning_rate": 0.01},
            "precision": "fp32",
            "compile": "off",
            "logging_steps": 1,
            "eval_steps": 3,
            "save_steps": 2,
        },
        "evaluate": {"num_samples": 2, "bootstrap_rounds": 100},
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", TASKS)
def test_a_whole_life(
    name: str, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path, name, samples)
    done("run", "tiny.yaml")
    done("export", "runs/tiny")
    assert any((tmp_path / "runs/tiny/export").glob("*/*"))
    assert "## Quality" in (tmp_path / "runs/tiny/README.md").read_text(encoding="utf-8")
    done("verify", "runs/tiny")

    # The same life, killed after the third step, before its checkpoint.
    whole = loop.after_step

    def killed(training: Any, step: Any) -> None:
        if step.index == 3:
            raise KeyboardInterrupt
        whole(training, step)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "after_step", killed)
        assert luban("train", "tiny.yaml", "name=again").code == 130
    done("train", "tiny.yaml", "name=again")
    one, other = (tmp_path / "runs" / run for run in ("tiny", "again"))
    assert lines_of(one) == lines_of(other)
    assert _bytes_of(one / "model") == _bytes_of(other / "model")


def _bytes_of(folder: Path) -> dict[str, bytes]:
    """What must be the same in two runs of one recipe: all but what a clock measured."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MEASUREMENTS
    }
