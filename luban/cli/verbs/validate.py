"""Check a recipe and its data before a run: shapes, memory, disk, bad records; change nothing."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from luban.cli import target
from luban.core.batch import Batch, Losses
from luban.core.contracts import Example, Task, View
from luban.core.errors import CapacityError, LubanError
from luban.core.progress import doing
from luban.data.checks.overlap import check_overlap, overlap
from luban.engine.sizes import build, free_memory
from luban.recipe import Recipe
from luban.stages._estimate import measure_minutes
from luban.stages._figures import loss_unit
from luban.stages._plan import plan_training
from luban.stages._preview import LEARN, Preview, learned, preview, sample_split
from luban.stages.prepare import Prepare

_MEASURED = 2000  #: examples of each split that time is measured with
_VARIOUS = 16  #: examples whose mean loss is told
_TORCH = 2**30  #: bytes of torch itself


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

    Bounds are those of ``prepare``, held against the records looked at (``stages._preview``).

    Raises:
        DataError: what ``prepare`` would refuse, by file and row.
        CapacityError: if memory or disk would not be enough.
    """
    prepare = recipe.stage("prepare")
    if not isinstance(prepare, Prepare):
        raise LubanError("only luban's own way to prepare can be looked into.", where="prepare")
    plans: list[str] = []
    recipe = plan_training(recipe, plans.append)
    train = recipe.stage("train")
    samples = {split: sample_split(recipe.data, split) for split in recipe.data.available_splits()}
    with doing("learn from the training records"):
        task = learned(recipe.task, recipe.data, samples["train"])
    previews = preview(task, samples, prepare, recipe.seed)
    if all(len(one.records) == one.count for one in samples.values()):
        check_overlap(recipe.data, overlap(recipe.data))
    rows = {split: one.examples for split, one in previews.items()}
    module = build(recipe.model.resolve(), task.signature())
    view = task.view(rows["train"], 0, recipe.seed)
    batch = task.collate([view[i] for i in range(min(2, len(view)))])
    various = [view[i] for i in _various(view)]
    parameters = sum(p.numel() for p in module.parameters())
    # Weights, the best ones and two moments of Adam, in fp32.
    disk = parameters * 4 * 4 * (getattr(train, "save_total_limit", 2) + 1)
    at_once = -(
        -getattr(train, "batch_size", 1) // getattr(train, "gradient_accumulation_steps", 1)
    )
    _enough(16 * parameters + _TORCH, disk, Path(recipe.runs))
    losses, kept = _forward(task, module, batch)
    memory = 16 * parameters + _TORCH + kept * at_once
    _enough(memory, disk, Path(recipe.runs))
    losses.sums.sum().backward()  # type: ignore[no-untyped-call]
    initial = _mean_loss(task, module, various)
    some = {s: [held[i] for i in range(min(_MEASURED, len(held)))] for s, held in rows.items()}
    signature, time = task.signature(), measure_minutes(recipe, task, some)
    return {
        "recipe": "reads; every field is known",
        **({"plan": plans[-1].removeprefix("plan: ")} if plans else {}),
        **{f"{split} records": str(one) for split, one in samples.items()},
        **_told(previews),
        "vocabulary or classes": f"{signature.outputs:,} (of at most {LEARN:,} records)",
        "parameters": f"{parameters:,}",
        "batch": ", ".join(f"{k} {tuple(v.shape[1:])}" for k, v in batch.inputs.items()),
        "loss before training": f"{initial:.3f} {loss_unit(task)}".strip(),
        "memory, about": f"{memory / 2**30:.2f} GiB of {_free_memory() / 2**30:.1f} GiB free",
        "disk, about": f"{disk / 2**30:.2f} GiB for checkpoints",
        "time, about": str(time),
        "minutes": time.to_dict()["minutes"],
    }


def _told(previews: Mapping[str, Preview]) -> dict[str, str]:
    """Return what ``prepare`` will set apart, adjust and cut, and what else the task says."""
    found: dict[str, str] = {}
    for split, one in previews.items():
        if one.apart:
            found[f"{split} set apart"] = f"{len(one.apart):,}: {one.apart}"
        if one.unknown:
            found[f"{split} new labels"] = (
                f"{len(one.unknown):,} records with labels that the training records looked at do "
                f"not have: {one.unknown}"
            )
        if one.doubts:
            told = (doubt.removeprefix(f"{split}: ") for doubt in one.doubts)
            found[f"{split} noted"] = " ".join(told)
    return found


def _forward(task: Task, module: nn.Module, batch: Batch) -> tuple[Losses, int]:
    """Return the losses of a batch, and about how many bytes training holds for an example.

    These are what is kept for the way back, and the largest of it twice more on that way.
    """
    ours = {tensor.untyped_storage().data_ptr() for tensor in module.state_dict().values()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in ours:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = task.loss(module.train(), batch)
    return losses, (sum(kept.values()) + 2 * max(kept.values(), default=0)) // len(losses.sums)


def _various(view: View) -> list[int]:
    """Return which examples of a view tell the loss: of all classes in turn, or from all over."""
    groups = view.groups
    if groups is None:
        return sorted({round(at) for at in np.linspace(0, len(view) - 1, _VARIOUS)})
    each = [iter(np.flatnonzero(groups == group).tolist()) for group in np.unique(groups)]
    turns = chain.from_iterable(zip_longest(*each))
    return list(islice((index for index in turns if index is not None), _VARIOUS))


@torch.no_grad()
def _mean_loss(task: Task, module: nn.Module, examples: list[Example]) -> float:
    """Return the mean loss of examples, two at a time: batch normalisation needs that many."""
    pairs = [examples[at : at + 2] for at in range(0, max(1, len(examples) - 1), 2)]
    pairs[-1] = examples[2 * (len(pairs) - 1) :]
    parts = [task.loss(module.train(), task.collate(pair)) for pair in pairs]
    return float(Losses.cat(parts).mean)


def _free_memory() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return free_memory()


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
