"""Which tasks could read what a path holds, and which of them is meant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from luban.core import registry
from luban.core.contracts import Guess, Recognises, Record, Source, Task
from luban.core.errors import DataError, LubanError
from luban.data.files.records import opened, own_fields
from luban.init.inspection import Found
from luban.init.recipe_writer import read_as

#: Below this confidence, or with another guess so near, a task is asked for.
_SURE, _NEAR = 0.4, 0.04
_SHOWN = 60  #: fields that are shown


def recognise(task: str, sample: Sequence[Record]) -> Guess | None:
    """Return how a task would read records that it has never seen; None: not at all.

    A built-in task has a file in ``luban/init/recognisers``; one of a plug-in says it itself, if
    it keeps the contract ``Recognises``.

    Args:
        task: Its name in recipes.
        sample: Some records, with the fields of the data.
    """
    if task in registry.names("recognisers"):
        guess: Guess | None = registry.module("recognisers", task).recognise(sample)
        return guess
    kind = registry.load("tasks", task, Task)  # type: ignore[type-abstract]
    return kind.recognise(sample) if issubclass(kind, Recognises) else None


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
        if (made := recognise(name, sample))
        and (not made.fields or read_as(found.source, made.fields) != found.source)
    }
    return dict(sorted(guesses.items(), key=lambda item: -item[1].confidence))


def choose(asked: str | None, guesses: Mapping[str, Guess], found: Found, *, sure: bool) -> str:
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
    where = path if isinstance(path, str) else ", ".join(map(str, path))
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
