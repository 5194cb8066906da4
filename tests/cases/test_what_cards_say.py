"""What a reader of a card must know beside its numbers is said there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy.stats import binomtest

from luban.core.contracts import Metric
from luban.core.intervals import measured, without_width
from tests.life import done


def card_of(folder: Path, rows: list[dict[str, Any]], steps: int) -> tuple[str, dict[str, Any]]:
    """Train a bag of words; return the card, and the claims of the evaluation."""
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "run",
        "data": {
            "max_overlap": 1.0,
            "source": {"name": "jsonl", "path": str(folder / "data.jsonl")},
            "split": {"by": "order", "validation": 0.1, "test": 0.1},
        },
        "task": {
            "name": "text-classification",
            "tokenizer": {"name": "wordpiece", "vocab_size": 2000},
            "max_length": 8,
        },
        "model": {"name": "bag", "embedding_size": 16},
        "train": {
            "max_steps": steps, "batch_size": 32, "precision": "fp32", "compile": "off",
            "optimizer": {"name": "adamw", "learning_rate": 0.05},
        },
        "evaluate": {"bootstrap_rounds": 100},
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    done("run", folder / "recipe.yaml", f"runs={folder}")
    report = json.loads((folder / "run/reports/evaluate.json").read_text())
    return (folder / "run/README.md").read_text(), report["claims"]


def test_an_interval_without_width_is_no_certainty(tmp_path: Path) -> None:
    labels = ["good", "bad"] * 80
    rows = [{"text": f"{label} number{n % 7}", "label": label} for n, label in enumerate(labels)]
    card, claims = card_of(tmp_path, rows, 60)
    assert claims["test/accuracy"]["value"] == claims["test/accuracy"]["low"] == 1
    low, high = binomtest(16, 16).proportion_ci(method="wilson")
    assert f"as a share of 16 its 95 % interval is [{low:.4g}, {high:.4g}]" in card
    told = re.findall(r"- `test/(\S+)`: no resample of the 16 changes it", card)
    without = [n for n, c in claims.items() if n.count("/") == 1 and c["low"] == c["high"]]
    assert told == [name.removeprefix("test/") for name in without]
    assert "macro-f1" in told


def test_of_too_many_classes_the_card_says_which_metric_is_missing(tmp_path: Path) -> None:
    rows = [{"text": f"word{n % 501} here", "label": f"label{n % 501}"} for n in range(640)]
    card, claims = card_of(tmp_path, rows, 2)
    assert "test/auroc" not in claims
    assert "- No `auroc` for 501 classes: it is measured up to 500" in card


@pytest.mark.parametrize(("right", "size"), [(0, 5), (3, 3), (40, 40), (0, 1)])
def test_the_interval_of_a_share_is_that_of_scipy(right: int, size: int) -> None:
    metric = Metric.from_dict({"name": "accuracy"})
    rows = [metric.statistics({"label": "a"}, {"label": "ab"[n >= right]}) for n in range(size)]
    said = without_width(rows, measured(metric, rows, rounds=100))
    low, high = binomtest(right, size).proportion_ci(method="wilson")
    assert said.endswith(f"interval is [{low:.4g}, {high:.4g}] (Wilson)")


def test_an_interval_with_width_says_nothing() -> None:
    metric = Metric.from_dict({"name": "accuracy"})
    rows = [metric.statistics({"label": "a"}, {"label": label}) for label in "aaab"]
    assert without_width(rows, measured(metric, rows, rounds=100)) == ""
