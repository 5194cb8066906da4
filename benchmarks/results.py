"""Run the recipes and keep what they reach: ``python -m benchmarks.results [RECIPE ...]``.

Each recipe runs as a user runs it, once for each seed, and ``luban verify`` recomputes every number
before it is kept in ``docs/measured/``. ``docs/generate.py`` renders ``docs/results.md`` from these
files alone. Runs stay in ``runs/results``: the same command goes on where it was stopped, and
measures again only what has changed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._common import data_folder
from luban.core.environment import environment
from luban.core.files import write_json
from luban.core.yaml_json import json_of
from luban.run import Run

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "docs" / "measured"
#: Claims of the report of training that the page shows.
TRAINING = ("steps", "training time", "parameters", "energy")
QUICK = ("demo", "train.max_steps=5", "evaluate.num_samples=0")


def measured(recipe: Path, seed: int, runs: Path, settings: list[str]) -> Path:
    """Run a recipe and verify the run; return its directory.

    Raises:
        subprocess.CalledProcessError: if the run fails, or a number in it does not hold.
    """
    name = f"{recipe.stem}-seed{seed}"
    told = [f"runs={runs}", f"name={name}", f"seed={seed}", *settings]
    surroundings = {**os.environ, "LUBAN_DATA": str(data_folder())}
    for verb in (["run", str(recipe), *told], ["verify", str(runs / name)]):
        subprocess.run([sys.executable, "-m", "luban", *verb], check=True, env=surroundings)
    return runs / name


def summary(run: Run) -> dict[str, Any]:
    """Return what is kept of a verified run: its claims, and what they were measured with."""
    training, quality = run.report("train"), run.report("evaluate")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "description": run.recipe.description,
        "task": run.recipe.task.name,
        "model": run.recipe.model.name,
        "seed": run.recipe.seed,
        "commit": _commit(),
        "machine": environment(),
        "warnings": [*training.details["warnings"], *quality.details["warnings"]],
        "training": {n: c for n, c in training.to_dict()["claims"].items() if n in TRAINING},
        "quality": quality.to_dict()["claims"],
    }


def _commit() -> str:
    """Return the commit that is checked out, with a mark if files differ from it."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def main() -> int:
    """Measure the recipes and keep what came of it; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", nargs="*", help="names in recipes/; none: all of them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/results"))
    parser.add_argument("--quick", action="store_true", help="a few steps of one; keeps nothing")
    args = parser.parse_args()
    if args.quick:
        name, *settings = QUICK
        with tempfile.TemporaryDirectory() as folder:
            path = measured(ROOT / "recipes" / f"{name}.yaml", 0, Path(folder), settings)
            print(json.dumps(summary(Run.open(path, main=False))["training"], indent=2))
        return 0
    failed = []
    for name in args.recipes or sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml")):
        for seed in args.seeds:
            try:
                path = measured(ROOT / "recipes" / f"{name}.yaml", seed, args.runs, [])
            except subprocess.CalledProcessError as error:
                failed.append(f"{name}, seed {seed}: {' '.join(map(str, error.cmd[3:]))}")
                continue
            kept = KEPT / f"{name}-seed{seed}.json"
            found = summary(Run.open(path, main=False))
            if not kept.is_file() or _claims(json_of(kept.read_text())) != _claims(found):
                KEPT.mkdir(exist_ok=True)
                write_json(kept, found)
    print("\n".join(["failed:", *failed]) if failed else "all recipes ran, and every number holds")
    return int(bool(failed))


def _claims(kept: dict[str, Any]) -> tuple[Any, Any]:
    return kept["training"], kept["quality"]


if __name__ == "__main__":
    sys.exit(main())
