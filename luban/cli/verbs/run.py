"""Do the whole life of a model; skip stages whose inputs have not changed."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from graphlib import TopologicalSorter

from luban.cli import target
from luban.cli.console import show_report
from luban.core import registry
from luban.core.contracts import Stage
from luban.engine.world import World
from luban.run import Run
from luban.stage_runner import is_fresh, perform_stage
from luban.stages._plan import plan_training


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments; each stage's own verb shares them."""
    target.options(parser)
    parser.add_argument("--force", action="store_true", help="also redo what has not changed")


def perform(args: argparse.Namespace) -> int:
    """Perform one stage with what it needs, or all of them."""
    run = target.open_run(args)
    world = World.start()
    done = {}
    with closing(world), run.lock():  # left in any case: a fault must not abort the process
        run.recipe = plan_training(run.recipe, run.say, world.size)
        run.keep_recipe()
        for stage in _plan(run, args.stage):
            last = stage.name == args.stage
            if not args.force and is_fresh(run, stage):
                run.say(f"{stage.name}: nothing has changed; kept.")
            else:
                run.say(f"{stage.name}: begins")
                # Who asks for what builds on it takes work that was broken off as it is.
                perform_stage(run, stage, end_early=args.stage is not None and not last)
            world.barrier()
            if run.main and (last or args.stage is None):
                done[stage.name] = run.report(stage.name)
    if not run.main:
        return 0
    if args.json:
        reports = {name: report.to_dict() for name, report in done.items()}
        print(json.dumps(reports, ensure_ascii=False))
        return 0
    for report in done.values():
        show_report(report)
    if args.stage is None:
        print(f"\nThe model card: {run.path / 'README.md'}")
    return 0


def _plan(run: Run, only: str | None) -> list[Stage]:
    """Return the stages to perform, each after those it needs."""
    every = [run.recipe.stage(name) for name in registry.names("stages")]
    if only is not None:  # what rests on all reports, and is there already, must not go stale
        wanted = [only] + [s.name for s in every if s.final and s.name in run.reports()]
    else:
        wanted = [s.name for s in every if s.always or s.name in run.recipe.stages]
    graph: dict[str, tuple[str, ...]] = {}
    while wanted:
        name = wanted.pop()
        graph[name] = run.recipe.stage(name).needs
        wanted += [need for need in graph[name] if need not in graph]
    order = [run.recipe.stage(name) for name in TopologicalSorter(graph).static_order()]
    return sorted(order, key=lambda stage: stage.final)
