"""Write a commented first recipe for a file or folder of data."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from luban.core.contracts import Guess
from luban.core.errors import LubanError
from luban.core.files import write_atomic
from luban.core.progress import doing
from luban.core.unicode_text import file_name
from luban.init.advice import problems_of, run_time, split_rule
from luban.init.inspection import guess
from luban.init.recipe_writer import read_as, recipe_for
from luban.init.recognition import choose, recognised
from luban.init.unlike_records import without_unlike
from luban.recipe import override

_LABELS = 8  #: labels that are shown


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("path", help="a file, folder or glob")
    parser.add_argument(
        "options",
        nargs="*",
        metavar="key=value",
        help="what is known of the source: fields.text=body, encoding=latin-1, "
        "columns=[text, label], pattern={label}_{number}.jpg, …",
    )
    parser.add_argument("--task", help="the task, if the data leave a choice")
    parser.add_argument("--output", "-o", help="the recipe file; <name of the data>.yaml")
    parser.add_argument("--force", action="store_true", help="overwrite the recipe file")


def perform(args: argparse.Namespace) -> int:
    """Look at the data, ask every task about them, write the recipe and say what was found."""
    told: dict[str, Any] = {}
    for option in args.options:
        override(told, option)
    with doing("look at the data"):
        found, unlike = without_unlike(guess(args.path, told))
        guesses = recognised(found)
    chosen = choose(args.task, guesses, found, sure=bool(told.get("fields")))
    output = Path(args.output or f"{_name(args.path)}.yaml")
    name = _name(str(output)) if args.output else _name(args.path)
    if output.exists() and not args.force:
        raise LubanError(
            "there is a file by that name.", where=output, fix="--output FILE, or --force."
        )
    made = guesses[chosen]
    write_atomic(output, recipe_for(name, found, chosen, guesses))
    problems = [*unlike, *problems_of(found, made)]
    if args.json:
        others = {task: other.why for task, other in guesses.items() if task != chosen}
        said: dict[str, Any] = {"recipe": str(output), "task": chosen, "why": made.why}
        said |= {"confidence": made.confidence, "classes": dict(made.labels), "others": others}
        said |= {"readings": _readings(guesses), "problems": problems, "split": split_rule(output)}
        said |= {"source": read_as(found.source, made.fields), "facts": found.facts}
        print(json.dumps(said, ensure_ascii=False))
        return 0
    lines = [f"{key:<12} {_shown(value)}" for key, value in found.facts.items()]
    lines += [f"{'task':<12} {chosen}: {made.why}"]
    if made.labels:
        lines += [f"{'labels':<12} {_counted(made.labels)}"]
    lines += [f"{'read':<12} {_shown(theirs)} as {ours}" for ours, theirs in made.fields.items()]
    lines += [f"{'note':<12} {problem}" for problem in problems]
    lines += [f"{'split':<12} {split_rule(output)}", f"{'time':<12} {run_time(output)}"]
    lines += [f"{'or':<12} --task {t}: {g.why}" for t, g in guesses.items() if t != chosen]
    lines += ["", f"Wrote {output}. Next:", f"  luban validate {output}", f"  luban run {output}"]
    Console(highlight=False, markup=False).print("\n".join(lines), soft_wrap=True)
    return 0


def _readings(guesses: Mapping[str, Guess]) -> list[dict[str, Any]]:
    return [
        {"task": task, "confidence": made.confidence, "fields": dict(made.fields), "why": made.why}
        for task, made in guesses.items()
    ]


def _counted(labels: Mapping[str, int]) -> str:
    shown = [f"{name} {times:,}" for name, times in [*labels.items()][:_LABELS]]
    more = f" and {len(labels) - _LABELS} more" if len(labels) > _LABELS else ""
    return f"{len(labels)}: {', '.join(shown)}{more}"


def _name(path: str) -> str:
    """Return the name of a run for data or a recipe of this path."""
    bare = Path(path).expanduser().name.split(".")[0] or Path(path).absolute().name
    return file_name(bare).strip("-") or "model"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
