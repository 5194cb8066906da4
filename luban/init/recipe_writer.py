"""The first recipe for data that were never seen before: under thirty lines, with comments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from luban.core import registry
from luban.core.component import Component
from luban.core.contracts import Guess, Model, Record, Source, Stage, Task
from luban.core.yaml_json import dump_yaml
from luban.data.dataset import Data
from luban.data.files.records import opened, own_fields
from luban.data.media.media_files import holds_media
from luban.init.inspection import Found
from luban.tasks.answers.classes import Classifier

_WIDTH = 100
_FEW = 1000  #: records, below which more of them are held out
#: What a training does unless the task knows better.
_TRAIN = {
    "num_train_epochs": 5,
    "batch_size": 32,
    "optimizer": {"name": "adamw", "learning_rate": 0.001},
    "schedule": "linear",
}
#: Fields that are texts of which nothing can be learned if they are empty.
_TEXTS = ("text", "source", "target", "document", "summary", "question", "context", "completion")
#: Choices that are worth a word in a first recipe.
_WORDS = {
    "max_steps": "or num_train_epochs, max_tokens, max_minutes",
    "num_train_epochs": "or max_steps, max_tokens, max_minutes",
}


def recipe_for(name: str, found: Found, task: str, guesses: Mapping[str, Guess]) -> str:
    """Return a recipe of under 30 lines that reads the data as a task wants them."""
    facts = found.facts
    chosen = sized(task, guesses[task], facts["records"])
    about = f"{'about ' * facts['estimated']}{facts['records']:,} records, "
    size = "characters" if "characters" in facts else "bytes"
    about += f"{facts[size]:,} {size} ({facts['format']})"
    lines = [f"# {about}; luban validate checks this file, luban run does it all."]
    others = [other for other in guesses if other != task]
    if others:
        lines.append(f"# Read so because {chosen.why}; it could also be {', '.join(others)}.")
    marked = {"entities", "answers"} & {*chosen.fields, *own_fields(found.sample[0])}
    media = any(map(holds_media, found.sample[0].values()))
    as_they_are = bool(marked) or media or _has_places(found)
    # Of few records a twentieth measures nothing; running text is divided by its length.
    few = facts["records"] < _FEW and "_document" not in found.sample[0]
    share = 0.15 if few else 0.05
    cleaners: list[Any] = [] if as_they_are else ["unicode"]
    if chosen.without:
        cleaners.append({"name": "values", "field": "label", "drop": list(chosen.without)})
    cleaners += [{"name": "length", "field": name} for name in empty_in(found.sample, chosen)]
    cleaners.append("exact-duplicates")
    source = read_as(found.source, chosen.fields)
    shares = f"validation: {share}, test: {share}"
    if _stratify(task, source, cleaners):
        split = f"{{by: label, {shares}}}  # or by: record, file, group, position"
    else:
        split = f"{{{shares}}}  # by: auto; record, file, group or position"
    lines += [
        f"name: {name}",
        'description: ""  # what the model is for: the first section of its card',
        "seed: 0",
        "data:",
        *_source(source),
        f"  cleaners: {_flow(cleaners)}",
        f"  split: {split}",
    ]
    lines += _section("task", {"name": task, **chosen.task}, Task)
    lines += [f"# {line}" for line in wrap(chosen.choice, _WIDTH - 2)]
    lines += _section("model", chosen.model, Model)
    lines += _section("train", {"name": "train", **(chosen.train or _TRAIN)}, Stage)
    return "\n".join(lines) + "\n"


def sized(task: str, guess: Guess, records: int) -> Guess:
    """Return the guess with what its task would choose for so many records."""
    known = registry.module("recognisers", task) if task in registry.names("recognisers") else None
    choose = getattr(known, "sized", None)
    made: Guess = choose(guess, records) if choose else guess
    return made


def _stratify(task: str, source: Mapping[str, Any], cleaners: Sequence[Any]) -> bool:
    """Return whether records would be divided one by one, although each has one of few labels."""
    if not issubclass(registry.load("tasks", task, Component), Classifier):
        return False
    data = {"source": dict(source), "cleaners": list(cleaners)}
    return Data.from_dict(data).split_by() == "record"


def empty_in(sample: Sequence[Record], made: Guess) -> dict[str, int]:
    """Return our names of fields that are empty texts in some records, and in how many."""
    fields = {ours: theirs for ours, theirs in made.fields.items() if isinstance(theirs, str)}
    kept = [name for name in own_fields(sample[0]) if name not in fields.values()]
    fields |= {name: name for name in kept if name in _TEXTS and name not in fields}
    texts = [opened(record) for record in sample]
    counts = {
        ours: sum(isinstance(r.get(theirs), str) and not r[theirs].strip() for r in texts)
        for ours, theirs in fields.items()
        if ours in _TEXTS
    }
    return {name: times for name, times in counts.items() if times}


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


def read_as(source: Mapping[str, Any], fields: Mapping[str, str | list[str]]) -> dict[str, Any]:
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
