"""From what stands on the command line to a run."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from luban.cli.terminal import terminal
from luban.core.errors import RunError
from luban.recipe import Recipe
from luban.run import Run


def options(parser: argparse.ArgumentParser, *, overrides: bool = True) -> None:
    """Add the arguments that name a run."""
    parser.add_argument("target", metavar="RECIPE-or-RUN", help="a recipe file or a run directory")
    if overrides:
        parser.add_argument(
            "overrides", nargs="*", metavar="key=value", help="changes to the recipe"
        )


def open_run(args: argparse.Namespace) -> Run:
    """Return the run of a recipe file or directory, with overrides applied.

    Raises:
        RecipeError: if the recipe is not right.
        RunError: if the directory is no run.
    """
    path = Path(args.target)
    main = os.environ.get("RANK", "0") == "0"
    console = terminal() if main else None
    if not path.is_dir():
        return Run.create(Recipe.read(path, args.overrides), console, main=main)
    run = Run.open(path, console)
    run.main = main
    if not getattr(args, "overrides", ()):
        return run
    recipe = Recipe.read(path / "recipe.yaml", args.overrides)
    if Path(recipe.runs) / recipe.name != Path(run.recipe.runs) / run.recipe.name:
        raise RunError("name and runs of an existing run cannot change.", where=path)
    run.recipe = recipe
    return run
