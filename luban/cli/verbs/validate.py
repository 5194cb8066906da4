"""Check a recipe and its data before a run: shapes, memory, disk, bad records; change nothing."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from luban.cli import target
from luban.core.contracts import Record, Task
from luban.core.errors import CapacityError, DataError, LubanError
from luban.data.held import Held
from luban.recipe import Recipe

#: Records looked at; the first ones of each split.
LOOK = 2000
#: Training records that vocabulary and labels are learned from: a file may be sorted by label.
LEARN = 50_000
#: Bad records from which on no more are looked for.
MANY = 50


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    target.options(parser)


def perform(args: argparse.Namespace) -> int:
    """Print what would be trained on what, or the first error."""
    path = Path(args.target)
    recipe = Recipe.read(path / "recipe.yaml" if path.is_dir() else path, args.overrides)
    facts = check(recipe)
    if args.json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        lines = [f"{key:<22} {value}" for key, value in facts.items()]
        Console(highlight=False, markup=False).print("\n".join(lines), soft_wrap=True)
    return 0


def check(recipe: Recipe) -> dict[str, Any]:
    """Return what a run of the recipe would be; raise the first thing that is wrong.

    Raises:
        DataError: listing the first bad records by file and row.
        CapacityError: if memory or disk would not be enough.
    """
    looked = {split: _look(recipe, split, LOOK) for split in recipe.data.available_splits()}
    task = _learned(recipe.task, _look(recipe, "train", LEARN))
    rows = {split: _encoded(task, split, records) for split, records in looked.items()}
    module = recipe.model.resolve().build(task.ports())
    train = recipe.stage("train")
    view = task.view(Held(rows["train"]), 0, recipe.seed)
    batch = task.collate([view[i] for i in range(min(2, len(view)))])
    parameters = sum(p.numel() for p in module.parameters())
    memory = _memory(parameters, batch, getattr(train, "batch_size", 1), task)
    # Weights, the best ones and two moments of Adam, in fp32.
    disk = parameters * 4 * 4 * (getattr(train, "save_total_limit", 2) + 1)
    _enough(memory, disk, Path(recipe.runs))
    losses = task.loss(module.train(), batch)
    losses.sums.sum().backward()  # type: ignore[no-untyped-call]
    return {
        "recipe": "reads; every field is known",
        **{f"{split} records": _count(records) for split, records in looked.items()},
        "vocabulary or classes": f"{task.ports().outputs:,} (of at most {LEARN:,} records)",
        "parameters": f"{parameters:,}",
        "batch": ", ".join(f"{k} {tuple(v.shape[1:])}" for k, v in batch.inputs.items()),
        "loss before training": f"{float(losses.mean.detach()):.3f} nats",
        "memory, about": f"{memory / 2**30:.2f} GiB of {_free_memory() / 2**30:.1f} GiB free",
        "disk, about": f"{disk / 2**30:.2f} GiB for checkpoints",
    }


def _look(recipe: Recipe, split: str, most: int) -> list[Record]:
    records = list(islice(recipe.data.records(split), most))
    if not records:
        raise DataError(f"the split {split!r} is empty.", where="data", fix="check data.split.")
    return records


def _learned(task: Task, records: list[Record]) -> Task:
    """Return the task learned from the good records; ``_encoded`` lists the bad ones.

    Raises:
        DataError: the first one, if there are many: then it is not the rows that are wrong.
    """
    first: DataError | None = None
    for _ in range(MANY):
        try:
            return task.learn(records)
        except DataError as error:
            first = first or error
            good = [record for record in records if record.get("_where") != error.where]
            if not good or len(good) == len(records):
                break
            records = good
    raise first or DataError("there is nothing to learn from.", where="data")


def _encoded(task: Task, split: str, records: list[Record]) -> list[Any]:
    good, bad = [], []
    for record in records:
        try:
            good.append(task.encode(record))
        except LubanError as error:
            bad.append(f"{record.get('_where', '?')}: {error.what}")
    if bad:
        more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
        raise DataError(
            f"{len(bad)} of the first {len(records)} {split} records are bad:\n    "
            + "\n    ".join(bad[:10])
            + more,
            where="data",
            fix="mend or drop these rows.",
        )
    return good


def _memory(parameters: int, batch: Any, batch_size: int, task: Task) -> int:
    """16 bytes a parameter (weights, gradient, Adam) and 12 a logit, plus torch itself."""
    positions = int(next(iter(batch.inputs.values()))[0].numel()) * batch_size
    logits = 12 * positions * task.ports().outputs
    return 16 * parameters + logits + 2**30


def _free_memory() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def _enough(memory: int, disk: int, runs: Path) -> None:
    if memory > _free_memory():
        raise CapacityError(
            "training would not fit in memory.",
            expected=f"at most {_free_memory() / 2**30:.1f} GiB",
            got=f"about {memory / 2**30:.1f} GiB",
            fix="raise train.gradient_accumulation_steps, or make the model smaller.",
        )
    folder = next(p for p in (runs, *runs.absolute().parents) if p.is_dir())
    free = shutil.disk_usage(folder).free
    if disk > free:
        raise CapacityError(
            "the checkpoints would not fit on the disk.",
            where=folder,
            expected=f"at most {free / 2**30:.1f} GiB",
            got=f"about {disk / 2**30:.1f} GiB",
            fix="runs=FOLDER on another disk, or a lower train.save_total_limit.",
        )


def _count(records: list[Record]) -> str:
    return f"{len(records):,}" + (" looked at, and more" if len(records) >= LOOK else "")
