"""A whole life in seconds: a small text, a tiny recipe, and the command line called in process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from luban.cli.main import main

ROOT = Path(__file__).parents[1]

RECIPE: dict[str, Any] = {
    "name": "tiny",
    "description": "A model for tests.",
    "seed": 1,
    "data": {
        "source": {"name": "text", "path": "text.txt", "document": "line"},
        "split": {"validation": 0.15, "test": 0.15},
    },
    "task": {
        "name": "text-generation",
        "context": 16,
        "tokenizer": "char",
        "sample_tokens": 30,
    },
    "model": {
        "name": "gpt",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "dropout": 0.1,
    },
    "train": {
        "max_steps": 24,
        "batch_size": 8,
        "optimizer": {"name": "adamw", "learning_rate": 0.02},
        "precision": "fp32",
        "compile": "off",
        "logging_steps": 1,
        "eval_steps": 8,
        "save_steps": 8,
    },
    "evaluate": {"num_samples": 2, "bootstrap_rounds": 100},
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The answer as strict JSON."""
        return json.loads(self.out, parse_constant=_no_constant)


def luban(*arguments: object) -> Said:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


def done(*arguments: object) -> Said:
    """Run a command that must succeed."""
    said = luban(*arguments)
    assert said.code == 0, said.err
    return said


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "luban", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        **options,
    )


def environment(**more: str) -> dict[str, str]:
    """The environment of a command in a process of its own."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def write_life(folder: Path, changes: Mapping[str, Any] | None = None, lines: int = 240) -> Path:
    """Write ``text.txt`` and ``tiny.yaml`` into a folder; return the recipe."""
    generator = random.Random(0)
    said = "the a cat dog house tree river runs sleeps eats red green small and near"
    words = said.split()
    text = [" ".join(generator.choices(words, k=generator.randint(4, 9))) for _ in range(lines)]
    (folder / "text.txt").write_text("\n".join(text) + "\n")
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(changed(RECIPE, changes or {}), sort_keys=False))
    return path


def changed(data: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested plain data with some values changed, by dotted path."""
    made: dict[str, Any] = json.loads(json.dumps(data))
    for path, value in changes.items():
        *keys, last = path.split(".")
        table = made
        for key in keys:
            table = table.setdefault(key, {})
        table[last] = value
    return made


def lines_of(run: Path) -> list[dict[str, Any]]:
    """The log of a training, without what the clock decides."""
    clock = {"seconds", "tokens_per_second", "utilisation"}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: row[key] for key in row if key not in clock} for row in rows]


def trained_again(run: Path, recipe: str, checkpoint: str = "checkpoint-16") -> Path:
    """Train once more from an earlier checkpoint; return a copy of what there was before."""
    before = run.with_name(f"{run.name}-before")
    shutil.copytree(run, before)
    for path in run.glob("checkpoint-*"):
        if path.name != checkpoint:
            shutil.rmtree(path)
    assert f"goes on from {checkpoint}" in done("train", recipe, "--force").err
    return before


def losses_of(run: Path) -> list[float]:
    """The training losses of a run."""
    return [row["loss"] for row in lines_of(run) if "loss" in row]


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
