"""Scores: no script is lost, nothing tuned is worse than before, no interval misses its value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from luban.core.batch import Batch
from luban.core.contracts import Metric, Record, Source, Task
from luban.core.errors import DataError
from luban.core.intervals import measured
from luban.data.media.images import to_png
from luban.recipe import Recipe
from tests.life import done, luban

pytestmark = pytest.mark.usefixtures("here")

SPLITS = ("train", "validation", "test")
SUMMARIES = {
    "russian": ("Кошка спит весь день на тёплом коврике, и никто ей не мешает.", "кошка спит"),
    "arabic": ("القطة تنام طوال اليوم على السجادة الدافئة ولا أحد يزعجها.", "القطة تنام"),
    "hindi": ("बिल्ली पूरे दिन गर्म चटाई पर सोती है और कोई उसे नहीं जगाता।", "बिल्ली सोती है"),
    "korean": ("고양이가 따뜻한 매트 위에서 하루 종일 잔다.", "고양이가 잔다"),
    "thai": ("แมวนอนบนเสื่อที่อบอุ่นทั้งวันและไม่มีใครรบกวน", "แมวนอน"),
}


def write_rows(rows: Sequence[Mapping[str, Any]], name: str = "rows.jsonl") -> str:
    Path(name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return name


@pytest.mark.parametrize("script", SUMMARIES)
def test_summaries_of_any_script_are_measured(script: str) -> None:
    """M1: a rouge of 0.0 in Russian, Arabic, Hindi and Korean, whatever was predicted.

    The lead is the document itself, which begins with words of the summary.
    """
    document, summary = SUMMARIES[script]
    rows = [{"document": f"{document} {n}", "summary": f"{summary} {n}"} for n in range(40)]
    write_rows(rows)
    done("init", "rows.jsonl", "--task", "summarization", "--output", "r.yaml")
    recipe = yaml.safe_load(Path("r.yaml").read_text())
    assert recipe["task"].get("tokenize", "words") == (
        "characters" if script == "thai" else "words"
    )
    recipe |= {"runs": "runs", "name": "small"}
    recipe["task"] |= {"tokenizer": "char", "max_source_length": 96, "num_beams": 1}
    recipe["model"] = {"name": "seq2seq", "hidden_size": 8, "num_hidden_layers": 1,
                       "num_attention_heads": 1, "intermediate_size": 8}  # fmt: skip
    recipe["train"] = {"max_steps": 1, "batch_size": 2, "compile": "off"}
    recipe["evaluate"] = {"bootstrap_rounds": 100}
    Path("r.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True))
    done("evaluate", "r.yaml")
    claims = json.loads(Path("runs/small/reports/evaluate.json").read_text())["claims"]
    (lead,) = (claims[name] for name in claims if name.endswith("lead/rouge1"))
    assert 0.2 < lead["value"] < 1
    assert lead["low"] <= lead["value"] <= lead["high"]


def test_summaries_without_a_word_are_told() -> None:
    signs = ["🙂" * (1 + n % 3) if n % 10 == 0 else f"word {n}" for n in range(40)]
    write_rows([{"document": f"a long text {n}", "summary": said} for n, said in enumerate(signs)])
    done("init", "rows.jsonl", "--task", "summarization", "--output", "r.yaml")
    done("prepare", "r.yaml")
    report = json.loads(Path("runs/r/reports/prepare.json").read_text())
    told = [claim["value"] for name, claim in report["claims"].items() if "without a word" in name]
    assert sum(told) == 4
    assert any("without a word" in line for line in report["details"]["limits"])


def test_a_few_words_of_another_script_do_not_change_how_bleu_cuts() -> None:
    write_rows([{"source": f"un mot {n}", "target": f"one word שלום {n}"} for n in range(40)])
    recipe = Recipe.read(Path(done("init", "rows.jsonl", "--json").json["recipe"]))
    assert recipe.task.to_dict()["tokenize"] == "13a"


@pytest.mark.parametrize("tokenize", ["words", "characters"])
def test_marks_are_a_part_of_words(tokenize: str) -> None:
    """M2: Hindi words that differ in a vowel sign were the same word."""
    metric = Metric.from_dict({"name": "rouge", "type": "rouge1", "tokenize": tokenize})
    same = metric.statistics({"text": "हिन्दी"}, {"references": ["हिन्दी"]})
    other = metric.statistics({"text": "हिन्दी"}, {"references": ["हिन्दू"]})
    assert (same[0], other[0]) == (1.0, 0.0)


class Fixed(nn.Module):
    """Says what stands in the batch."""

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits


def test_calibration_leaves_a_good_classifier_alone() -> None:
    """499 of 500 right, 10 classes: the temperature was 1.54, and new scores were worse."""
    rng = np.random.default_rng(0)
    names = [str(number) for number in range(10)]
    records = [{"text": f"word {name}", "label": name} for name in names * 3]
    task = Task.from_dict({"name": "text-classification", "tokenizer": "char"}).learn(records)

    def drawn(count: int, wrong: int) -> Batch:
        labels = rng.integers(0, 10, count)
        logits = rng.normal(0, 1, (count, 10))
        logits[np.arange(count), labels] += 9
        labels[:wrong] = (labels[:wrong] + 1) % 10
        return Batch({"logits": torch.from_numpy(logits)}, {"labels": torch.from_numpy(labels)})

    def loss(chosen: Task, batch: Batch) -> float:
        said = chosen.predict(Fixed(), batch)
        true = [names[label] for label in batch.targets["labels"].tolist()]
        return float(np.mean([-np.log(p["scores"][t]) for p, t in zip(said, true, strict=True)]))

    for wrong in (0, 1, 2):
        validation, test = drawn(500, wrong), drawn(5000, 10 * wrong)
        tuned = task.calibrate(Fixed(), [validation])
        assert loss(tuned, validation) <= loss(task, validation) + 1e-9
        assert loss(tuned, test) <= loss(task, test) + 0.003


def test_a_distance_lies_in_its_interval() -> None:
    """253 [296, 618]: images drawn twice are fewer images."""
    rng = np.random.default_rng(0)
    metric = Metric.from_dict({"name": "frechet-distance"})
    for count in (1, 2, 20, 200):
        rows = [metric.statistics({"features": row}, {}) for row in rng.normal(0.5, 1, (count, 30))]
        claim = measured(metric, rows)
        assert claim.low is not None
        assert claim.high is not None
        assert 0 <= claim.low <= float(claim.value) <= claim.high
        assert claim.low < claim.high or count == 1


def coco(folder: Path, count: int) -> str:
    """Write images in each of which one box is alone and another stands for a group."""
    rng = np.random.default_rng(0)
    notes: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    (folder / "photos").mkdir(parents=True)
    for number in range(count):
        pixels = rng.integers(90, 160, (48, 64, 3)).astype(np.uint8)
        (folder / f"photos/{number}.png").write_bytes(to_png(pixels))
        images.append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 48})
        for crowd, box in ((0, [2, 2, 20, 20]), (1, [30, 0, 34, 48])):
            notes.append({"id": len(notes), "image_id": number, "category_id": 1, "bbox": box,
                          "iscrowd": crowd, "area": box[2] * box[3]})  # fmt: skip
    table = {"images": images, "annotations": notes, "categories": [{"id": 1, "name": "cell"}]}
    (folder / "x.json").write_text(json.dumps(table))
    return str(folder / "x.json")


def test_what_is_found_in_a_crowd_is_no_mistake(tmp_path: Path) -> None:
    path = coco(tmp_path / "c", 3)
    source = Source.from_dict({"name": "coco", "path": path, "images": str(tmp_path / "c/photos")})
    records: list[Record] = [r for r in source.read("train") if isinstance(r, Mapping)]
    task = Task.from_dict({"name": "object-detection", "image_size": 64}).learn(records)
    found = [[2, 2, 22, 22], [31, 1, 45, 20], [44, 10, 60, 40], [50, 30, 62, 46]]
    scores = (0.5, 0.9, 0.8, 0.7)
    prediction = {"objects": [{"label": "cell", "score": s, "box": b}
                              for s, b in zip(scores, found, strict=True)]}  # fmt: skip
    for metric in task.metrics():
        rows = [
            metric.statistics(prediction, task.target(task.encode(record))) for record in records
        ]
        assert metric.compute(np.asarray(rows)) == pytest.approx(1.0)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_number_written_in_two_ways_is_no_label(form: str) -> None:
    labels: list[Any] = [1, 2, 1.0, 2] * 6
    if form == "csv":
        lines = [f"text number {n},{label}" for n, label in enumerate(labels)]
        Path("rows.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    else:
        write_rows([{"text": f"number {n}", "label": label} for n, label in enumerate(labels)])
    recipe = {
        "name": "small",
        "data": {
            "source": {"name": form, "path": f"rows.{form}"},
            "split": {"validation": 0.2, "test": 0.2},
        },
        "task": {"name": "text-classification", "tokenizer": "char", "max_length": 32},
        "model": {"name": "textcnn"},
        "train": {"max_steps": 1},
    }
    Path("r.yaml").write_text(yaml.safe_dump(recipe))
    said = luban("validate", "r.yaml")
    assert said.code == 2
    assert "the same number is written in two ways" in said.err
    records = [{"text": "a", "label": label} for label in (1.0, 2.0)]
    task = Task.from_dict({"name": "text-classification", "tokenizer": "char"})
    assert task.learn(records).signature().labels == ("1.0", "2.0")
    with pytest.raises(DataError, match="does not occur"):
        task.learn(records).encode({"text": "a", "label": 1})


def test_the_loss_before_training_is_that_of_all_classes() -> None:
    """Of a file sorted by label, the first records were of one class."""
    rows = [{"text": "always the same", "label": "a" if n < 20 else "b"} for n in range(40)]
    losses = []
    for name, ordered in (("up", rows), ("down", rows[::-1])):
        path = write_rows(ordered, f"{name}.jsonl")
        recipe = {
            "name": name,
            "data": {
                "source": {"name": "jsonl", "path": {s: path for s in SPLITS}},
                "max_overlap": 1.0,
            },
            "task": {"name": "text-classification", "tokenizer": "char", "max_length": 32},
            "model": {"name": "textcnn", "dropout": 0.0},
            "train": {"max_steps": 1},
        }
        Path("r.yaml").write_text(yaml.safe_dump(recipe))
        torch.manual_seed(3)
        lines = done("validate", "r.yaml").out.splitlines()
        losses.append(float(next(one for one in lines if "loss before" in one).split()[3]))
    assert losses[0] == losses[1]
