"""List the runs in a folder, or compare two of them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.table import Table

from luban.cli.console import output
from luban.core.differences import differences
from luban.core.errors import LubanError
from luban.run import Run


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "paths", nargs="*", metavar="RUN", help="two runs to compare; none: list every run"
    )
    parser.add_argument("--runs", default="runs", help="the folder of runs")


def perform(args: argparse.Namespace) -> int:
    """Print the table or the comparison."""
    if len(args.paths) not in (0, 2):
        raise LubanError("give two runs to compare, or none.", got=" ".join(args.paths))
    if args.paths:
        return _compare(*(Run.open(Path(path)) for path in args.paths), as_json=args.json)
    rows = [_row(path.parent) for path in sorted(Path(args.runs).glob("*/recipe.yaml"))]
    if args.json:
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    table = Table(box=None, pad_edge=False)
    for column in ("run", "task", "model", "stages done", "headline"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    output().print(table if rows else f"no runs in {args.runs}/")
    return 0


def _row(path: Path) -> dict[str, str]:
    try:
        run = Run.open(path)
        reports = run.reports()
    except LubanError as error:
        return {"run": path.name, "task": "", "model": "", "done": "", "headline": error.what}
    quality = reports.get("evaluate")
    first = next(iter(quality.claims.items()), None) if quality else None
    return {
        "run": path.name,
        "task": run.recipe.task.name,
        "model": run.recipe.model.name,
        "done": " ".join(reports),
        "headline": f"{first[0]} {first[1]}" if first else "",
    }


def _compare(left: Run, right: Run, *, as_json: bool) -> int:
    recipe = differences(left.recipe.to_dict(), right.recipe.to_dict())
    sides = [
        {f"{stage} {name}": claim for stage, r in run.reports().items() for name, claim in
         r.claims.items()} for run in (left, right)
    ]  # fmt: skip
    keys = [key for key in sides[0] | sides[1] if sides[0].get(key) != sides[1].get(key)]
    pairs = {key: [str(side.get(key, "")) for side in sides] for key in keys}
    if as_json:
        print(json.dumps({"recipe": recipe, "claims": pairs}, ensure_ascii=False))
        return 0
    console = output()
    console.print("\n".join(["recipe:", *(f"  {line}" for line in recipe or ["no difference"])]))
    table = Table("claim", str(left.path), str(right.path), box=None, pad_edge=False)
    for key, (a, b) in pairs.items():
        table.add_row(key, a, b)
    console.print(table)
    return 0
