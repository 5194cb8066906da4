"""What a plan comes to here: steps of its choices are measured, and one of them is chosen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from luban.core.errors import RecipeError
from luban.core.progress import doing
from luban.recipe import Chosen, Recipe
from luban.stages._estimate import first_examples, measured_training

_MEASURED = 2.0  #: seconds of steps that are measured of each choice
_FEWEST = 3  #: steps, however long they take


def plan_training(recipe: Recipe, say: Callable[[str], None], processes: int = 1) -> Recipe:
    """Return a recipe whose plan says what was chosen here, and say it; others as they are.

    Takes some seconds for each choice that is tried.

    Args:
        recipe: The recipe.
        say: Takes a line about each choice that was tried.
        processes: How many train together.

    Raises:
        RecipeError: if the plan cannot be followed.
    """
    if recipe.plan is None or not recipe.unplanned:
        return recipe
    if processes > 1:
        raise RecipeError(
            "a plan is made by one process, and this training has more.",
            where="plan",
            got=f"{processes} processes",
            fix="begin the run with one process, or give train.max_steps instead of a plan.",
        )
    minutes, of = recipe.plan.minutes, recipe.plan_digest()
    for number, choice in enumerate(recipe.plan.choices):
        changed = recipe.changed(number)
        with doing(f"plan: measure steps of choice {number + 1}"):
            task, rows = first_examples(changed, ["train"])
            records = len(rows["train"])
            found = measured_training(changed, task, rows["train"], records, steady_seconds)
        possible = max(1, int(60 * minutes / max(found.seconds, 1e-9)))
        told = ", ".join(f"{key}={value}" for key, value in choice.changes.items())
        about = f"plan: choice {number + 1}{f' ({told})' if told else ''}: a step takes "
        about += f"{found.seconds:.3g} s here, so {minutes:g} minutes allow {possible:,} steps"
        if possible < choice.min_steps:
            about += f", fewer than the {choice.min_steps:,} wanted"
        if possible < choice.min_steps and number < len(recipe.plan.choices) - 1:
            say(about)
            continue
        most = getattr(changed.stage("train"), "max_steps", None)
        steps = min(possible, most or possible)
        say(f"{about}; it takes {steps:,}")
        seconds = float(f"{found.seconds:.4g}")
        return recipe.planned(Chosen(choice=number, max_steps=steps, step_seconds=seconds, of=of))
    raise RecipeError("a plan has at least one choice.", where="plan.choices")


def steady_seconds(work: Callable[[int], Any], size: int) -> float:
    """Return the mean seconds of ``work(size)`` over some seconds, other programs' load included.

    The fastest of them would promise what a machine that others use does not keep.
    """
    work(size)  # the first call is slower
    count, start = 0, time.perf_counter()
    while count < _FEWEST or time.perf_counter() - start < _MEASURED:
        work(size)
        count += 1
    return (time.perf_counter() - start) / count
