"""A classifier's life by the command line: several labels, balanced draws, rows that are wrong."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.life import changed, done, luban

WORDS = {"cold": ["icy", "chilly", "frozen"], "late": ["slow", "waiting", "hours"]}
RECIPE: dict[str, Any] = {
    "name": "tiny",
    "data": {
        "source": {
            "name": "jsonl",
            "path": {"train": "train.jsonl", "validation": "held.jsonl", "test": "held.jsonl"},
        },
        "max_overlap": 1.0,
    },
    "task": {
        "name": "text-classification",
        "tokenizer": {"name": "bpe", "vocab_size": 300},
        "max_length": 32,
    },
    "model": {"name": "textcnn", "embedding_size": 8, "num_filters": 8, "kernel_sizes": [1, 2]},
    "train": {
        "max_steps": 30,
        "batch_size": 16,
        "optimizer": {"name": "adamw", "learning_rate": 0.05},
        "precision": "fp32",
        "compile": "off",
        "eval_steps": 15,
    },
    "evaluate": {"bootstrap_rounds": 100},
}


def complaint(generator: random.Random, exclusive: bool) -> dict[str, Any]:
    labels = [label for label in WORDS if generator.random() < 0.5]
    if exclusive:
        labels = [generator.choice([*WORDS])]
    said = [generator.choice(WORDS[label]) for label in labels]
    text = " ".join([*said, *generator.choices(["food", "rice", "soup", "box"], k=3)])
    return {"text": text, "label": labels[0] if exclusive else labels}


def write(folder: Path, changes: dict[str, Any], exclusive: bool, **held: Any) -> None:
    generator = random.Random(0)
    for name, size in (("train", 160), ("held", 40)):
        rows = [complaint(generator, exclusive) for _ in range(size)]
        if name == "held" and held:
            rows[6] |= held
        lines = [json.dumps(row) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    (folder / "tiny.yaml").write_text(yaml.safe_dump(changed(RECIPE, changes)))


def test_several_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"task.class_weights": "balanced"}, exclusive=False)
    done("run", "tiny.yaml")
    learned = json.loads((tmp_path / "runs/tiny/model/labels.json").read_text())
    assert learned["names"] == ["cold", "late"]
    assert len(learned["thresholds"]) == 2
    assert json.loads((tmp_path / "runs/tiny/task/labels.json").read_text())["thresholds"] == []
    report = json.loads((tmp_path / "runs/tiny/reports/evaluate.json").read_text())["claims"]
    assert report["test/macro-f1"]["value"] > 0.75 > report["test/majority/macro-f1"]["value"]
    said = done("predict", "runs/tiny", "--text", "icy food, waiting hours", "--json").json
    assert said["labels"] == ["cold", "late"]
    done("verify", "runs/tiny")


def test_one_label_drawn_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mechanism = {"name": "plain", "balanced": True}
    write(tmp_path, {"train.mechanism": mechanism}, exclusive=True)
    done("run", "tiny.yaml")
    report = json.loads((tmp_path / "runs/tiny/reports/evaluate.json").read_text())["claims"]
    assert report["test/accuracy"]["value"] > 0.9
    assert {"test/majority/accuracy", "test/naive-bayes/accuracy"} <= report.keys()
    said = done("predict", "runs/tiny", "--text", "icy food", "--json").json
    assert said["label"] == "cold"
    assert said["score"] == max(said["scores"].values())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"label": None}, ["no label", "that is a string or a whole number"]),
        ({"text": None}, ["no text"]),
        ({"text_pair": "?"}, ["some records have a second text"]),
    ],
    ids=str,
)
def test_a_wrong_row_is_named(
    wrong: dict[str, Any], told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is set apart; none may be, and the error says all that is wrong with the first."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {}, exclusive=True, **wrong)
    said = luban("prepare", "tiny.yaml")
    assert said.code == 0
    assert "set apart: held.jsonl:7: " in said.err
    assert told[0] in said.err
    said = luban("prepare", "tiny.yaml", "prepare.max_unreadable=0")
    assert said.code == 2
    for part in ("held.jsonl:7", *told, "records cannot be used"):
        assert part in said.err
    assert "Traceback" not in said.err


def test_a_label_that_training_records_lack_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it set apart, a class would vanish from what scores are measured on."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {}, exclusive=True, label="wet")
    said = luban("prepare", "tiny.yaml")
    assert said.code == 2
    for part in ("held.jsonl:7", "'wet' does not occur", "cold, late"):
        assert part in said.err
    assert "Traceback" not in said.err
