"""Recompute every number in the reports of a run; fail if one does not hold."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from luban.cli.resume_proof import prove_resume
from luban.cli.terminal import terminal
from luban.core.contracts import Stage
from luban.core.errors import RunError, VerifyError
from luban.core.report import Report
from luban.run import Run


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("target", metavar="RUN", help="a run directory")
    parser.add_argument("--stage", help="recompute the report of this stage only")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="instead, prove that a killed and resumed training equals an uninterrupted one",
    )
    parser.add_argument("--steps", type=int, default=60, help="training steps of that proof")
    parser.add_argument("--kills", type=int, default=2, help="how often the proof kills")


def perform(args: argparse.Namespace) -> int:
    """Recompute, compare and say what holds."""
    run = Run.open(Path(args.target), terminal(), main=False)
    if args.resume:
        result = prove_resume(run, steps=args.steps, kills=args.kills)
    else:
        result = _recompute(run, args.stage)
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
    return 0


def _recompute(run: Run, only: str | None) -> dict[str, int]:
    reports = {only: run.report(only)} if only else run.reports()
    if not reports:
        raise RunError("there are no reports to verify.", where=run.path, fix="luban run RUN")
    lines: list[str] = []
    for name, report in reports.items():
        stage = run.recipe.stage(name)
        found = _other_inputs(run, stage, report) + report.differences(stage.measure(run))
        lines += found
        verdict = "DOES NOT HOLD" if found else "holds"
        run.console.say(f"{name}: {len(report.claims)} claims recomputed: {verdict}")
    if lines:
        raise VerifyError(
            "the reports do not hold:\n    " + "\n    ".join(lines),
            where=run.path,
            fix="luban run on the recipe measures again; find out who changed what first.",
        )
    return {name: len(report.claims) for name, report in reports.items()}


def _other_inputs(run: Run, stage: Stage, report: Report) -> list[str]:
    """Return one line per input that is not what the report was made from.

    Newer code may confirm an older report: whether the numbers hold is what counts.
    """
    now = run.inputs(stage)
    changed = [key for key, digest in now.items() if report.inputs.get(key) != digest]
    return [f"{stage.name}: made from another {key}" for key in changed if key != "code"]
