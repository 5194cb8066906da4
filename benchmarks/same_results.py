"""Do two checkouts of Luban train, measure and write the same, as refactorings must?

Runs a few recipes in both with the clock off, in fp32 and not compiled, on the same machine, and
compares logged losses, the digests of the weights and all claims but those that are times:
``python -m benchmarks.same_results OLD_CHECKOUT [NEW_CHECKOUT] [--recipes demo sst2] [--steps N]``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._common import data_folder
from luban.core.files import sha256_of

RECIPES = ("demo", "sst2", "fsdd-digits", "bccd")
SETTINGS = ("train.max_minutes=null", "train.precision=fp32", 'train.compile="off"')
#: Parts of the names of claims and logged values that are times, made of them, or digests of files
#: that hold them.
TIMES = (
    *("time", "second", "minute", "utilisation", "energy", "joule", "speed", "kwh", "carbon"),
    *("log (sha256)", "sha256 of readme.md"),
)


def run(checkout: Path, recipe: str, steps: int, folder: Path) -> dict[str, Any]:
    """Train and evaluate a recipe with the code of a checkout; return what must not change."""
    folder.mkdir(parents=True)
    settings = [*SETTINGS, f"train.max_steps={steps}", "train.num_train_epochs=null"]
    settings += [f"train.eval_steps={steps // 2}", f"train.save_steps={steps}"]
    settings += ["train.logging_steps=1"]
    command = [sys.executable, "-m", "luban", "run", str(checkout / f"recipes/{recipe}.yaml")]
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "LUBAN_DATA": str(data_folder()),
        "LUBAN_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run(
        [*command, *settings], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    made = folder / "runs" / recipe
    lines = [json.loads(line) for line in (made / "metrics.jsonl").read_text().splitlines()]
    claims = {
        f"{path.stem}: {name}": claim
        for path in sorted((made / "reports").glob("*.json"))
        for name, claim in json.loads(path.read_text())["claims"].items()
        if not is_time(name)
    }
    return {
        "log": [{key: v for key, v in line.items() if not is_time(key)} for line in lines],
        "weights": sha256_of(made / "model" / "model.safetensors"),
        "claims": claims,
    }


def is_time(name: str) -> bool:
    """Return whether a claim or a logged value is a time, or made of one."""
    return any(part in name.lower() for part in TIMES)


def main() -> int:
    """Run, compare and print; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).parents[1]
    parser.add_argument("old", type=Path, nargs="?", default=here, help="none: this one, twice")
    parser.add_argument("new", type=Path, nargs="?", default=here)
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="the demo, a few steps")
    args = parser.parse_args()
    if args.quick:
        args.recipes, args.steps = ["demo"], 6
    differ = False
    for recipe in args.recipes:
        with TemporaryDirectory() as folder:
            old, new = (
                run(checkout.resolve(), recipe, args.steps, Path(folder) / name)
                for name, checkout in (("old", args.old), ("new", args.new))
            )
        lines = sum(a != b for a, b in zip(old["log"], new["log"], strict=True))
        claims = [
            name
            for name in old["claims"].keys() | new["claims"].keys()
            if old["claims"].get(name) != new["claims"].get(name)
        ]
        same = old["weights"] == new["weights"]
        differ |= bool(lines or claims or not same)
        print(
            f"{recipe}: {lines} of {len(old['log'])} logged lines differ, "
            f"weights {'equal' if same else 'DIFFER'} ({new['weights'][:12]}), "
            f"{len(claims)} of {len(old['claims'])} claims differ {sorted(claims)[:5]}",
            flush=True,
        )
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
