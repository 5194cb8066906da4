"""Write a commented first recipe for a file or folder of data."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console

from luban.core import registry
from luban.core.contracts import Guess, Record, Source, Task
from luban.core.errors import DataError, LubanError
from luban.core.files import write_atomic
from luban.core.progress import doing
from luban.core.unicode_text import file_name
from luban.data.files.records import opened, own_fields
from luban.init.inspection import Found, guess
from luban.init.recipe_writer import empty_in, read_as, recipe_for
from luban.recipe import Recipe, override
from luban.stages._estimate import estimate_minutes

#: Below this confidence, or with another guess so near, a task is asked for.
_SURE, _NEAR = 0.4, 0.04
_LONG = 5  #: minutes from which on it is said how to make a run shorter
_LABELS = 8  #: labels that are shown
_SHOWN = 60  #: fields that are shown


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
        found = guess(args.path, told)
        guesses = recognised(found)
    chosen = _chosen(args.task, guesses, found, sure=bool(told.get("fields")))
    output = Path(args.output or f"{_name(args.path)}.yaml")
    name = _name(str(output)) if args.output else _name(args.path)
    if output.exists() and not args.force:
        raise LubanError(
            "there is a file by that name.", where=output, fix="--output FILE, or --force."
        )
    made = guesses[chosen]
    write_atomic(output, recipe_for(name, found, chosen, guesses))
    problems = _problems(found, made)
    if args.json:
        others = {task: other.why for task, other in guesses.items() if task != chosen}
        said: dict[str, Any] = {"recipe": str(output), "task": chosen, "why": made.why}
        said |= {"confidence": made.confidence, "classes": dict(made.labels), "others": others}
        said |= {"readings": _readings(guesses), "problems": problems, "split": _split(output)}
        said |= {"source": read_as(found.source, made.fields), "facts": found.facts}
        print(json.dumps(said, ensure_ascii=False))
        return 0
    lines = [f"{key:<12} {_shown(value)}" for key, value in found.facts.items()]
    lines += [f"{'task':<12} {chosen}: {made.why}"]
    if made.labels:
        lines += [f"{'labels':<12} {_counted(made.labels)}"]
    lines += [f"{'read':<12} {_shown(theirs)} as {ours}" for ours, theirs in made.fields.items()]
    lines += [f"{'note':<12} {problem}" for problem in problems]
    lines += [f"{'split':<12} {_split(output)}", f"{'time':<12} {_time(output)}"]
    lines += [f"{'or':<12} --task {t}: {g.why}" for t, g in guesses.items() if t != chosen]
    lines += ["", f"Wrote {output}. Next:", f"  luban validate {output}", f"  luban run {output}"]
    Console(highlight=False, markup=False).print("\n".join(lines), soft_wrap=True)
    return 0


def recognised(found: Found) -> dict[str, Guess]:
    """Return what each task makes of the data, the most confident first.

    A task that would need other field names than the source can give is left out. What a task
    sees only in tables within the records comes after all that is seen without opening them.
    """
    guesses = _asked(found, found.sample)
    if any(isinstance(value, dict) for value in own_fields(found.sample[0]).values()):
        guesses |= {
            name: made
            for name, made in _asked(found, list(map(opened, found.sample))).items()
            if name not in guesses
        }
    return guesses


def _asked(found: Found, sample: list[Record]) -> dict[str, Guess]:
    guesses = {
        name: made
        for name in registry.names("tasks")
        if (made := registry.load("tasks", name, Task).recognise(sample))  # type: ignore[type-abstract]
        and (not made.fields or read_as(found.source, made.fields) != found.source)
    }
    return dict(sorted(guesses.items(), key=lambda item: -item[1].confidence))


def _chosen(asked: str | None, guesses: Mapping[str, Guess], found: Found, *, sure: bool) -> str:
    """Return the task: the one that was asked for, else the one that the data clearly are for.

    Raises:
        LubanError: if there is no such task.
        DataError: if it cannot read the data; or if none is clear: it tells what was seen, the
            readings that were considered, and what would settle each.
    """
    names = registry.names("tasks")
    if asked and asked not in names:
        raise LubanError(
            f"there is no task {asked!r}.",
            where="--task",
            expected=", ".join(names),
            fix=registry.nearest(asked, names),
        )
    best = next(iter(guesses), "")
    if asked and asked in guesses:
        return asked
    if not asked and guesses:
        others = [guesses[name].confidence for name in guesses if name != best]
        near = max(others, default=0.0) > guesses[best].confidence - _NEAR
        if guesses[best].confidence >= (0.0 if sure else _SURE) and not near:
            return best
    raise _unclear(asked, guesses, found)


def _unclear(asked: str | None, guesses: Mapping[str, Guess], found: Found) -> DataError:
    path = found.source["path"]
    where = path if isinstance(path, str) else _shown(path)
    first = own_fields(opened(found.sample[0])) if found.sample else {}
    seen = [f"{name}: {_example(first[name])}" for name in islice(first, _SHOWN)]
    seen += [f"and {len(first) - _SHOWN:,} more"] if len(first) > _SHOWN else []
    lines = [f"--task {name}{_settled(made)}: {made.why}" for name, made in guesses.items()]
    lines = lines or ["no task reads these fields as they are called"]
    if asked:
        what = f"the task {asked} cannot tell which fields to take."
        fix = f"name them, as in: luban init PATH --task {asked} fields.OURS=THEIRS; "
    else:
        what = "it is not clear what these data are for."
        fix = "say it, as in: luban init PATH --task TASK fields.OURS=THEIRS; "
    if "pattern" in type(Source.from_dict(dict(found.source))).model_fields:
        fix = fix.replace("fields.OURS=THEIRS", "pattern={label}_{number}.jpg")
    what += "\n    ".join([f"\n  saw: {found.facts['records']:,} records with the fields", *seen])
    return DataError(
        what,
        where=where,
        expected="\n    ".join(["one of", *lines]),
        fix=fix + "which task reads which fields: luban list tasks.",
    )


def _settled(made: Guess) -> str:
    """Return the arguments that name the fields of a reading."""
    fields = {ours: theirs for ours, theirs in made.fields.items() if isinstance(theirs, str)}
    return "".join(f" fields.{ours}={theirs}" for ours, theirs in fields.items())


def _example(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:60]}…"


def _readings(guesses: Mapping[str, Guess]) -> list[dict[str, Any]]:
    return [
        {"task": task, "confidence": made.confidence, "fields": dict(made.fields), "why": made.why}
        for task, made in guesses.items()
    ]


def _problems(found: Found, made: Guess) -> list[str]:
    """Return what a user should know of the rows before training on them."""
    problems = [
        f"in {times:,} of {len(found.sample):,} records looked at the field {name!r} is empty; "
        "the recipe drops these"
        for name, times in empty_in(found.sample, made).items()
    ]
    if made.without:
        shown = ", ".join(map(repr, made.without))
        problems.append(f"the label {shown} says that there is none; the recipe drops such records")
    for name in own_fields(found.sample[0]):
        values = {str(record.get(name)) for record in found.sample}
        told = re.fullmatch(r"part\d+", name) and not any(map(str.isdecimal, values))
        if told and 2 <= len(values) <= len(found.sample) // 4:
            shown = ", ".join(sorted(values)[:4])
            problems.append(
                f"the names tell {name} too ({len(values)}: {shown}); if these are people, "
                f"keep each in one split: data.split={{by: group, key: {name}}}"
            )
    rare = [name for name, times in made.labels.items() if times == 1]
    if rare and len(found.sample) >= 100:
        problems.append(f"labels seen once: {', '.join(rare[:_LABELS])}")
    return problems


def _split(recipe: Path) -> str:
    """Return by what the records are divided."""
    try:
        return Recipe.read(recipe).data.split_rule()
    except LubanError as error:
        return f"not known: {error.what}"


def _time(recipe: Path) -> str:
    """Return about how long a run of the recipe takes here, and how to make it shorter."""
    try:
        told = estimate_minutes(Recipe.read(recipe))
    except LubanError as error:
        return f"not known: {error.what} luban validate {recipe} says more"
    shorter = "; for less: train.max_minutes=MINUTES, or a smaller model"
    return f"about {told}{shorter if told.minutes > _LONG else ''}"


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
