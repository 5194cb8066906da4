"""What a user should know before training on what a path holds: flaws, splits, time."""

from __future__ import annotations

import re
from pathlib import Path

from luban.core.contracts import Guess
from luban.core.errors import LubanError
from luban.data.files.records import own_fields
from luban.init.inspection import Found
from luban.init.recipe_writer import empty_in
from luban.recipe import Recipe
from luban.stages._estimate import estimate_minutes

_LONG = 5  #: minutes from which on it is said how to make a run shorter
_LABELS = 8  #: labels that are shown


def problems_of(found: Found, made: Guess) -> list[str]:
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


def split_rule(recipe: Path) -> str:
    """Return by what the records are divided."""
    try:
        return Recipe.read(recipe).data.split_rule()
    except LubanError as error:
        return f"not known: {error.what}"


def run_time(recipe: Path) -> str:
    """Return about how long a run of the recipe takes here, and how to make it shorter."""
    try:
        told = estimate_minutes(Recipe.read(recipe))
    except LubanError as error:
        return f"not known: {error.what} luban validate {recipe} says more"
    shorter = "; for less: train.max_minutes=MINUTES, or a smaller model"
    return f"about {told}{shorter if told.minutes > _LONG else ''}"
