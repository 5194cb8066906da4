"""How long the recipes go without a word: ``python -m benchmarks.silence [RECIPE ...]``.

Each recipe runs as a user runs it, its output read as it comes. Training takes a few steps;
preparing, validating, evaluating and writing the card are those of the recipe. Files in runs/ are
not touched.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

RECIPES = Path(__file__).parents[1] / "recipes"
LONGEST = 5.0  #: seconds that a command may be silent
_SHOWN = 70  #: characters of the line that came before a silence


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen of a command.

    Attributes:
        code: Its exit code; None if it was stopped when its time was over.
        seconds: How long it ran.
        gap: The longest time without output, in seconds.
        before: The last line before that; empty where it was the first one to come.
        last: The last line of all.
    """

    code: int | None
    seconds: float
    gap: float
    before: str
    last: str


def watched(command: list[str], limit: float) -> Watched:
    """Run a command and look at its output as it comes.

    Args:
        command: Program and arguments.
        limit: Seconds after which it is stopped.
    """
    start = last = time.monotonic()
    gap, before, line = 0.0, "", ""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    said = subprocess.Popen(command, stdout=writing, stderr=subprocess.STDOUT)
    os.close(writing)
    code: int | None = None
    open_ = True
    while open_ and time.monotonic() - start < limit:
        try:
            piece = os.read(reading, 1 << 16)
        except BlockingIOError:  # nothing yet
            time.sleep(0.05)
            continue
        now = time.monotonic()
        open_ = bool(piece)
        if now - last > gap:
            gap, before = now - last, line
        last = now
        line = piece.decode(errors="replace").rstrip().rpartition("\n")[2] or line
    os.close(reading)
    if open_:
        said.terminate()
        said.wait()
    else:
        code = said.wait()
    return Watched(code, time.monotonic() - start, gap, before, line)


def main() -> int:
    """Print a line for each recipe; return 1 where one was silent for too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", nargs="*", help="names in recipes/; none: all of them")
    parser.add_argument("--steps", type=int, default=5, help="of training")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for each recipe")
    parser.add_argument("--quick", action="store_true", help="one recipe without data of its own")
    args = parser.parse_args()
    if args.quick:
        args.recipes = ["demo"]
    names = args.recipes or sorted(path.stem for path in RECIPES.glob("*.yaml"))
    silent = 0
    for name in names:
        with tempfile.TemporaryDirectory() as runs:
            options = [f"runs={runs}", f"train.max_steps={args.steps}"]
            recipe = str(RECIPES / f"{name}.yaml")
            found = watched([sys.executable, "-m", "luban", "run", recipe, *options], args.limit)
        code = "stopped" if found.code is None else str(found.code)
        told = (
            f"{name:24} exit {code:8} {found.seconds:6.0f} s   longest silence {found.gap:5.1f} s"
        )
        print(f"{told}  after: {found.before[:_SHOWN]}", flush=True)
        if found.code:
            print(f"    {found.last}", flush=True)
        silent += found.gap > LONGEST
    print(f"{silent} of {len(names)} recipes were silent for more than {LONGEST:.0f} s")
    return int(silent > 0)


if __name__ == "__main__":
    sys.exit(main())
