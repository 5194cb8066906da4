"""The page of results says what verified runs say; every benchmark has its quick mode."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return import_module("results_page")


def claim(value: float, **more: Any) -> dict[str, Any]:
    return {"value": value, "unit": "", "low": None, "high": None, "n": None, "note": "", **more}


def test_a_run_stands_beside_its_baselines(
    page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = {
        "date": "2026-12-01",
        "task": "text-classification",
        "model": "bag",
        "seed": 0,
        "commit": "abc",
        "machine": {"processor": "A processor", "cores": "2"},
        "warnings": ["No better than the trivial baseline."],
        "training": {"training time": claim(2.5, unit="minutes")},
        "quality": {
            "test/accuracy": claim(0.8125, low=0.75, high=0.875),
            "test/majority/accuracy": claim(0.5),
        },
    }
    (tmp_path / "sst2-seed0.json").write_text(json.dumps(run))
    monkeypatch.setattr(page, "MEASURED", tmp_path)
    text = "\n".join(page.results_page())
    for part in ("**0.8125 [0.75, 0.875]**", "majority 0.5", "| 2.5 |", "A processor"):
        assert part in text
    assert "`sst2`, seed 0: No better than the trivial baseline." in text
    assert "`demo`" in text.partition("## Not measured")[2]  # what has no run is named
    assert "`sst2`," not in text.partition("## Not measured")[2].partition("## Machines")[0]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "benchmarks").glob("[!_]*.py")), ids=lambda p: p.stem
)
def test_a_benchmark_has_a_quick_mode(path: Path) -> None:
    """``make bench`` runs every one of them with ``--quick``."""
    assert '"--quick"' in path.read_text(encoding="utf-8")
