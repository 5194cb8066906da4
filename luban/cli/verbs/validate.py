"""Check a recipe and its data before a run: shapes, memory, disk, bad records; change nothing."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections import Counter
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
from luban.core.contracts import Example, Record, SetApart, Task
from luban.core.errors import CapacityError, DataError, LubanError, UnfitError
from luban.data.apart import usable
from luban.data.held import Held
from luban.data.media import holds_media, media_size
from luban.recipe import Recipe
from luban.stages._estimate import measure_minutes
from luban.stages._figures import loss_unit

#: Records looked at; the first ones of each split.
LOOK = 2000
#: Training records that vocabulary and labels are learned from: a file may be sorted by label.
LEARN = 50_000
#: Bytes of images or recordings looked at in each split, and of examples kept.
LOOK_BYTES, HELD_BYTES = 100 << 20, 256 << 20
#: Bad records from which on no more are looked for.
MANY = 50

_VARIOUS = 16  #: examples whose mean loss is told
_TOLD = 10  #: bad records that are listed
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

    Raises:
        DataError: listing the first bad records by file and row.
        CapacityError: if memory or disk would not be enough.
    """
    train, prepare = recipe.stage("train"), recipe.stage("prepare")
    looked = {split: _look(recipe, split) for split in recipe.data.available_splits()}
    task = _learned(recipe)
    rows, apart = {}, {}
    for split, entries in looked.items():
        rows[split], apart[split] = _encoded(task, split, entries)
    _bearable(apart, sum(map(len, looked.values())), getattr(prepare, "max_unreadable", 0.0))
    module = recipe.model.resolve().build(task.ports())
    view = task.view(Held(rows["train"]), 0, recipe.seed)
    batch = task.collate([view[i] for i in range(min(2, len(view)))])
    various = [view[i] for i in _various(task, Held(rows["train"]), len(view))]
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
    ports, time = task.ports(), measure_minutes(recipe, task, rows)
    return {
        "recipe": "reads; every field is known",
        **{f"{split} records": _count(records) for split, records in looked.items()},
        **{f"{split} set apart": _listed(lines, "; ") for split, lines in apart.items() if lines},
        **_noted(task, rows),
        "vocabulary or classes": f"{ports.outputs:,} (of at most {LEARN:,} records)",
        "parameters": f"{parameters:,}",
        "batch": ", ".join(f"{k} {tuple(v.shape[1:])}" for k, v in batch.inputs.items()),
        "loss before training": f"{initial:.3f} {loss_unit(task)}".strip(),
        "memory, about": f"{memory / 2**30:.2f} GiB of {_free_memory() / 2**30:.1f} GiB free",
        "disk, about": f"{disk / 2**30:.2f} GiB for checkpoints",
        "time, about": str(time),
        "minutes": time.to_dict()["minutes"],
    }


def _look(recipe: Recipe, split: str) -> list[Record]:
    """Return the first records of a split: fewer of them where they are large files."""
    records, size = list[Record](), 0
    for record in islice(recipe.data.entries(split), LOOK):
        records.append(record)
        if isinstance(record, SetApart):
            continue
        size += sum(media_size(value) for value in record.values() if holds_media(value))
        if size > LOOK_BYTES:
            break
    next(usable(records), None)  # without any, the error of the first
    if not records:
        raise DataError(
            f"the split {split!r} is empty.",
            where="data.split",
            fix=f"give it a larger share (data.split.{split}=0.2), or loosen the cleaners.",
        )
    return records


def _learned(recipe: Recipe) -> Task:
    """Return the task learned from the good records; ``_encoded`` lists the bad ones.

    Raises:
        DataError: the first one, if there are many: then it is not the rows that are wrong.
    """
    bad: dict[object, DataError] = {}
    while len(bad) < MANY:
        records = islice(recipe.data.records("train"), LEARN)
        try:
            return recipe.task.learn(r for r in records if r.get("_where") not in bad)
        except DataError as error:
            if error.where in bad:
                break
            bad[error.where] = error
    raise next(iter(bad.values()))


def _encoded(task: Task, split: str, records: list[Record]) -> tuple[list[Example], list[str]]:
    """Return the first examples of a split, and the records that would be set apart.

    Raises:
        DataError: listing bad records, or those set apart if no other is left.
    """
    good, size, bad, apart = list[Example](), 0, list[str](), list[str]()
    for record in records:
        if isinstance(record, SetApart):
            apart.append(record.error.line())
            continue
        try:
            example = task.encode(record)
        except LubanError as error:
            line = f"{record.get('_where', '?')}: {error.what}"
            (apart if isinstance(error, UnfitError) else bad).append(line)
            continue
        if size <= HELD_BYTES:
            good.append(example)
            size += sum(array.nbytes for array in example.values())
    if bad or not good:
        lines = bad or apart
        raise DataError(
            f"{len(lines)} of the first {len(records)} {split} records are bad:\n    "
            + _listed(lines, "\n    "),
            where="data",
            fix="mend or drop these rows.",
        )
    return good, apart


def _noted(task: Task, rows: Mapping[str, list[Example]]) -> dict[str, str]:
    """Return what the task says of examples, beside how much they teach, and how often."""
    found: dict[str, str] = {}
    for split, examples in rows.items():
        notes: Counter[str] = Counter()
        for example in examples:
            notes.update(task.supervision(example).notes)
        found |= {f"{split}: {note}": f"{notes[note]:,}" for note in sorted(notes) if notes[note]}
    return found


def _bearable(apart: Mapping[str, list[str]], records: int, share: float) -> None:
    """Check how much would be set apart, over all splits, as ``prepare`` does.

    Raises:
        DataError: listing it, if it is too much.
    """
    lines = list(chain.from_iterable(apart.values()))
    if len(lines) > share * records:
        raise DataError(
            f"{len(lines)} of the first {records} records cannot be used:\n    "
            + _listed(lines, "\n    "),
            where="data",
            expected=f"at most a share of {share:g} (prepare.max_unreadable)",
            fix="mend, cut or remove these records, or raise the bound.",
        )


def _listed(lines: list[str], between: str) -> str:
    more = f"{between}and {len(lines) - _TOLD} more" if len(lines) > _TOLD else ""
    return between.join(lines[:_TOLD]) + more


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


def _various(task: Task, store: Held, size: int) -> list[int]:
    """Return which examples of a view tell the loss: of all classes in turn, or from all over."""
    groups = task.groups(store)
    if groups is None:
        return sorted({round(at) for at in np.linspace(0, size - 1, _VARIOUS)})
    each = [iter(np.flatnonzero(groups == group).tolist()) for group in np.unique(groups)]
    turns = chain.from_iterable(zip_longest(*each))
    return list(islice((index for index in turns if index is not None), _VARIOUS))


@torch.no_grad()
def _mean_loss(task: Task, module: nn.Module, examples: list[Example]) -> float:
    """Return the mean loss of examples, two at a time."""
    pairs = [examples[at : at + 2] for at in range(0, len(examples), 2)]
    parts = [task.loss(module.train(), task.collate(pair)) for pair in pairs]
    return float(Losses.cat(parts).mean)


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
