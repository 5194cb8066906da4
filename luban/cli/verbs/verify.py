"""Recompute every number in the reports of a run; fail if one does not hold."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

from luban.cli.terminal import terminal
from luban.core import progress
from luban.core.contracts import Stage
from luban.core.errors import RunError, VerifyError
from luban.core.report import Report
from luban.run import Run
from luban.stage_runner import inputs_of
from luban.stages._prepared import damaged_stores
from luban.stages._resume_proof import prove_resume


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("target", metavar="RUN", help="a run directory")
    parser.add_argument("--stage", help="recompute the report of this stage only")
    parser.add_argument(
        "--files",
        action="store_true",
        help="compare every file with its digest, and recompute nothing",
    )
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
        result = _recompute(run, args.stage, files_only=args.files)
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
    return 0


def _recompute(run: Run, only: str | None, *, files_only: bool) -> dict[str, int]:
    names = [only] if only else sorted(p.stem for p in run.path.glob("reports/[!.]*.json"))
    if not names and run.digests() is None:
        raise RunError("there are no reports to verify.", where=run.path, fix="luban run RUN")
    lines = [] if only else _changed_files(run)
    if not names:
        lines.append("there are no reports to verify: luban run makes them")
    counts: dict[str, int] = {}
    for name in names if not files_only else ():
        try:
            stage, report = run.recipe.stage(name), run.report(name)
            found = _other_inputs(run, stage, report) + report.differences(stage.measure(run))
        except Exception as error:
            if not lines:
                raise
            # A file that was changed above may be why: what can be recomputed still is.
            found = [f"{name}: cannot be recomputed: {error}"]
            run.console.say(f"{name}: cannot be recomputed")
        else:
            counts[name] = len(report.claims)
            verdict = "DOES NOT HOLD" if found else "holds"
            run.console.say(f"{name}: {len(report.claims)} claims recomputed: {verdict}")
        lines += found
    if lines:
        raise VerifyError(
            "the reports do not hold:\n    " + "\n    ".join(lines),
            where=run.path,
            fix="luban run on the recipe measures again; find out who changed what first.",
        )
    return counts


def _changed_files(run: Run) -> list[str]:
    """Return one line for each file that is not as the run's stages wrote it, or is missing."""
    digests = run.digests()
    if digests is None:
        run.console.say("files: not compared: this run was made before digests of them were kept")
        return []
    lines = digests.differences(partial(progress.report, "compare files"))
    lines += damaged_stores(run)
    verdict = "DO NOT HOLD" if lines else "hold"
    run.console.say(f"files: {len(digests.files)} digests compared: {verdict}")
    return lines


def _other_inputs(run: Run, stage: Stage, report: Report) -> list[str]:
    """Return one line per input that is not what the report was made from.

    Newer code may confirm an older report: whether the numbers hold is what counts.
    """
    now = inputs_of(run, stage)
    changed = [key for key, digest in now.items() if report.inputs.get(key) != digest]
    return [f"{stage.name}: made from another {key}" for key in changed if key != "code"]
