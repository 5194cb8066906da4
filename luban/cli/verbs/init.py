"""Write a commented first recipe for a file or folder of data."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from luban.core import registry
from luban.core.component import Component
from luban.core.contracts import Guess, Model, Record, Source, Stage, Task
from luban.core.errors import DataError, LubanError
from luban.core.files import write_atomic
from luban.core.text_formats import dump_yaml
from luban.data.guess import Found, guess
from luban.data.media import holds_media
from luban.data.records import opened, own_fields

_WIDTH = 100
_FEW = 1000  #: records, below which more of them are held out
#: What a training does unless the task knows better.
_TRAIN = {
    "num_train_epochs": 5,
    "batch_size": 32,
    "optimizer": {"name": "adamw", "learning_rate": 0.001},
    "schedule": "linear",
}
#: Choices that are worth a word in a first recipe.
_WORDS = {
    "max_steps": "or num_train_epochs, max_tokens, max_minutes",
    "num_train_epochs": "or max_steps, max_tokens, max_minutes",
}


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("path", help="a file, folder or glob")
    parser.add_argument("--task", help="the task, if the data leave a choice")
    parser.add_argument("--output", "-o", help="the recipe file; <name of the data>.yaml")
    parser.add_argument("--force", action="store_true", help="overwrite the recipe file")


def perform(args: argparse.Namespace) -> int:
    """Look at the data, ask every task about them, write the recipe and say what was found."""
    found = guess(args.path)
    guesses = recognised(found)
    chosen = _chosen(args.task, guesses, found)
    name = re.sub(r"[^\w.-]+", "-", Path(args.path).name.split(".")[0]).strip("-") or "model"
    output = Path(args.output or f"{name}.yaml")
    if output.exists() and not args.force:
        raise LubanError(
            "there is a file by that name.", where=output, fix="--output FILE, or --force."
        )
    write_atomic(output, recipe_for(name, found, chosen, guesses))
    others = {task: made.why for task, made in guesses.items() if task != chosen}
    if args.json:
        source = _renamed(found.source, guesses[chosen].fields)
        said: dict[str, Any] = {"recipe": str(output), "task": chosen, "why": guesses[chosen].why}
        said |= {"others": others, "source": source, "facts": found.facts}
        print(json.dumps(said, ensure_ascii=False))
        return 0
    lines = [f"{key:<12} {_shown(value)}" for key, value in found.facts.items()]
    lines += [f"{'task':<12} {chosen}: {guesses[chosen].why}"]
    lines += [f"{'read':<12} {_shown(t)} as {o}" for o, t in guesses[chosen].fields.items()]
    lines += [f"{'or':<12} --task {task}: {why}" for task, why in others.items()]
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
        and (not made.fields or _renamed(found.source, made.fields) != found.source)
    }
    return dict(sorted(guesses.items(), key=lambda item: -item[1].confidence))


def recipe_for(name: str, found: Found, task: str, guesses: Mapping[str, Guess]) -> str:
    """Return a recipe of under 30 lines that reads the data as a task wants them."""
    chosen, facts = guesses[task], found.facts
    about = f"{'about ' * facts['estimated']}{facts['records']:,} records, "
    size = "characters" if "characters" in facts else "bytes"
    about += f"{facts[size]:,} {size} ({facts['format']})"
    lines = [f"# {about}; luban validate checks this file, luban run does it all."]
    others = [other for other in guesses if other != task]
    if others:
        lines.append(f"# Read so because {chosen.why}; it could also be {', '.join(others)}.")
    as_they_are = _has_places(found) or any(map(holds_media, found.sample[0].values()))
    # Of few records a twentieth measures nothing; running text is divided by its length.
    few = facts["records"] < _FEW and "_document" not in found.sample[0]
    share = 0.15 if few else 0.05
    split = f"{{validation: {share}, test: {share}}}"
    cleaners = "[exact-duplicates]" if as_they_are else "[unicode, exact-duplicates]"
    lines += [
        f"name: {name}",
        'description: ""  # what the model is for: the first section of its card',
        "seed: 0",
        "data:",
        *_source(_renamed(found.source, chosen.fields)),
        f"  cleaners: {cleaners}",
        f"  split: {split}  # by: auto; record, file, group or position",
    ]
    lines += _section("task", {"name": task, **chosen.task}, Task)
    lines += _section("model", chosen.model, Model)
    lines += _section("train", {"name": "train", **(chosen.train or _TRAIN)}, Stage)
    return "\n".join(lines) + "\n"


def _has_places(found: Found) -> bool:
    """Return whether records hold tables, such as places in a text: changing it moves them."""
    return any(
        isinstance(value, list) and any(isinstance(item, dict) for item in value)
        for record in found.sample
        for value in record.values()
    )


def _source(source: Mapping[str, Any]) -> list[str]:
    """Return the source on one line, or if that is long, on a line for each part.

    A long table takes a line for each of its parts, if it is the only one: a recipe stays short.
    """
    line = f"  source: {_flow(source)}"
    if len(line) <= _WIDTH:
        return [line]
    lines = ["  source:"]
    tables = sum(isinstance(value, dict) for value in source.values())
    for key, value in source.items():
        line = f"    {key}: {_flow(value)}"
        if isinstance(value, dict) and tables == 1 and len(line) > _WIDTH:
            lines += [f"    {key}:", *(f"      {k}: {_flow(v)}" for k, v in value.items())]
        else:
            lines.append(line)
    return lines


def _chosen(asked: str | None, guesses: Mapping[str, Guess], found: Found) -> str:
    names = registry.names("tasks")
    if asked and asked not in names:
        raise LubanError(
            f"there is no task {asked!r}.",
            where="--task",
            expected=", ".join(names),
            fix=registry.nearest(asked, names),
        )
    if (asked and asked not in guesses) or not guesses:
        fields = ", ".join(own_fields(opened(found.sample[0])))
        raise DataError(
            f"the task {asked} cannot tell which fields to take."
            if asked
            else "no task knows what to make of these data.",
            where=found.source["path"],
            expected=f"fields that a task names: see `luban list tasks`; or {', '.join(guesses)}"
            if guesses
            else "fields that a task names: see `luban list tasks`",
            got=f"fields: {fields}",
            fix="write the recipe by hand and name the fields with data.source.fields.",
        )
    return asked or next(iter(guesses))


def _renamed(source: Mapping[str, Any], fields: Mapping[str, str | list[str]]) -> dict[str, Any]:
    """Return the source with the fields that a task wants, if it can rename any."""
    if not fields:
        return dict(source)
    kind = type(Source.from_dict(dict(source)))
    if "fields" in kind.model_fields:
        return {**source, "fields": {**source.get("fields", {}), **fields}}
    path = source["path"]
    ours = {theirs: name for name, theirs in fields.items() if isinstance(theirs, str)}
    if not isinstance(path, dict) or not ours.keys() <= _sides(path):
        return dict(source)
    return {**source, "path": _named(path, ours)}


def _sides(path: Mapping[str, Any]) -> set[str]:
    """Return the fields that a table of files (or of such tables) names."""
    tables = [value for value in path.values() if isinstance(value, dict)]
    return set(path) if not tables else set.union(*map(set, tables))


def _named(path: Mapping[str, Any], ours: Mapping[str, str]) -> dict[str, Any]:
    named = {
        ours.get(key, key): _named(value, ours) if isinstance(value, dict) else value
        for key, value in path.items()
    }
    order = [name for name in ours.values() if name in named]
    return {key: named[key] for key in [*order, *(key for key in named if key not in order)]}


def _section(title: str, values: Mapping[str, Any], base: type[Component]) -> list[str]:
    """Return a section line by line, each with a word on what else could stand there."""
    kind: type[Component] = registry.load(base.kind, values["name"], base)
    lines = [f"{title}:"]
    for key, value in values.items():
        if key == "name" and base is Stage:
            continue
        line = f"  {key}: {_flow(value)}"
        word = _alternatives(kind) if key == "name" else _word(kind, key, value)
        lines.append(f"{line}  # {word}" if word and len(line) + len(word) < _WIDTH - 4 else line)
    return lines


def _alternatives(kind: type[Component]) -> str:
    """Return the other models that give whatever this one can give."""
    if not issubclass(kind, Model):
        return ""
    others = {name: registry.load("models", name, Model) for name in registry.names("models")}  # type: ignore[type-abstract]
    return _or(
        name
        for name, other in others.items()
        if other is not kind
        and {*kind.produces} <= {*other.produces}
        and {*kind.accepts} <= {*other.accepts}
    )


def _word(kind: type[Component], key: str, value: Any) -> str:
    """Return what a field is: its description, or the components that could stand there."""
    if key in _WORDS:
        return _WORDS[key]
    described = kind.model_fields[key].description or ""
    annotation = kind.model_fields[key].annotation
    if isinstance(annotation, type) and issubclass(annotation, Component):
        taken = value["name"] if isinstance(value, dict) else value
        return _or(name for name in registry.names(annotation.kind) if name != taken)
    first = described.partition(". ")[0].rstrip(".")
    return first[:1].lower() + first[1:]


def _or(names: Any) -> str:
    found = list(names)
    return f"or {', '.join(found)}" if found else ""


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = dump_yaml(value, default_flow_style=True, width=10_000)
    return text.strip().removesuffix("...").strip()


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
