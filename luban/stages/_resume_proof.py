"""Proof of exact resume: train twice, kill one of them at random, compare bit by bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from luban.core.errors import LubanError, VerifyError
from luban.core.files import sha256_of, temporary_folder
from luban.run import Run, logged


def prove_resume(run: Run, *, steps: int, kills: int) -> dict[str, Any]:
    """Train the run's recipe for some steps, uninterrupted and killed, in fp32; compare.

    Args:
        run: A run whose recipe is used; nothing is written into it.
        steps: Optimizer steps of both trainings.
        kills: How often the second one gets SIGKILL at a random moment.

    Raises:
        VerifyError: if a loss or a weight differs.
    """
    random_moment = random.Random(run.recipe.seed)
    with temporary_folder() as folder:
        whole, killed = folder / "whole", folder / "killed"
        _finish(_start(run, whole, steps))
        for number in range(kills):
            aim = random_moment.randrange(1, max(2, steps * (number + 1) // (kills + 1)))
            at = _kill_at(_start(run, killed, steps), killed / "metrics.jsonl", aim)
            run.console.say(f"killed at step {at}")
        _finish(_start(run, killed, steps))
        curves = [_curve(path / "metrics.jsonl") for path in (whole, killed)]
        weights = [sha256_of(path / "model" / "model.safetensors") for path in (whole, killed)]
    if curves[0] != curves[1] or weights[0] != weights[1]:
        first = next((a for a, b in zip(*curves, strict=False) if a != b), "the weights only")
        raise VerifyError("the resumed training differs.", got=f"first difference: {first}")
    run.console.say(
        f"resume is exact: {len(curves[0])} logged losses and the final weights are bit-identical "
        f"after {kills} kills"
    )
    return {"steps": steps, "kills": kills, "identical": True, "weights": weights[0]}


def _start(run: Run, path: Path, steps: int) -> subprocess.Popen[bytes]:
    changes = {
        "name": path.name,
        "runs": str(path.parent),
        "train.max_steps": steps,
        "train.max_minutes": "null",
        "train.num_train_epochs": "null",
        "train.max_tokens": "null",
        "train.precision": "fp32",
        "train.compile": '"off"',
        "train.logging_steps": 1,
        "train.save_steps": max(1, steps // 8),
        "train.eval_steps": max(1, steps // 3),
        "train.trackers": "[]",
    }
    # -P: the working directory is no place to import from; a stranger's run may lie in it.
    command = [sys.executable, "-P", "-m", "luban", "train", str(run.path / "recipe.yaml")]
    command += [f"{key}={value}" for key, value in changes.items()]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")},
    )


def _finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate()
    if process.returncode:
        text = errors.decode(errors="replace").strip()
        raise LubanError("training for the proof failed.", got=text[-2000:])


def _kill_at(process: subprocess.Popen[bytes], metrics: Path, step: int) -> int:
    """Kill the process once it has logged the step; return the last step it logged.

    Raises:
        LubanError: if it ended by itself before that, so that nothing would be proved.
    """
    while process.poll() is None:
        if len(_curve(metrics)) >= step:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    _, errors = process.communicate()
    if process.returncode != -signal.SIGKILL:
        text = errors.decode(errors="replace").strip()
        raise LubanError(
            "training ended before it could be killed.",
            got=text[-2000:],
            fix="give the proof more --steps.",
        )
    return len(_curve(metrics))


def _curve(path: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in logged(path) if "loss" in line]
