"""Rows of metrics over a split: the one way in which validation and evaluation measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from luban.core.batch import Batch
from luban.core.contracts import (
    Baseline,
    Example,
    Metric,
    Statistics,
    StrongBaseline,
    Task,
    View,
)
from luban.core.errors import CapacityError
from luban.core.progress import tracked
from luban.engine.world import World

Table: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
_BYTES = 2**30  #: of the rows of one metric
_AT_ONCE = 64  #: predictions of a baseline
#: Called with number, example, prediction and target.
See: TypeAlias = Callable[[int, Example, Any, Any], None]


@dataclass(frozen=True, slots=True)
class Measuring:
    """What is measured, and how.

    Attributes:
        task: What collates and knows the targets.
        predict: ``task.predict`` or ``task.validate_batch``.
        metrics: Of what it returns.
        module: The model; left in the mode it was in.
    """

    task: Task
    predict: Callable[[nn.Module, Batch], list[Any]]
    metrics: tuple[Metric, ...]
    module: nn.Module


@torch.inference_mode()
def model_rows(  # noqa: PLR0913
    measuring: Measuring,
    examples: View,
    *,
    batch_size: int,
    world: World | None = None,
    label: str = "predict",
    see: See | None = None,
) -> dict[str, Table]:
    """Return the rows of each metric, (examples, width), on every rank.

    Args:
        measuring: Task, metrics and model.
        examples: The view of a split that evaluation uses.
        batch_size: Examples predicted at once; those of about one length go together.
        world: The ranks that share the work.
        label: What is being done, for whoever shows progress.
        see: Shown each example of this process, its prediction and its target.
    """
    task, metrics, module = measuring.task, measuring.metrics, measuring.module
    was_training = module.training
    module.eval()
    rank, ranks = (world.rank, world.size) if world else (0, 1)
    device = next(module.parameters()).device
    mine = list(range(rank, len(examples), ranks))
    lengths = examples.lengths
    if lengths is not None:
        mine.sort(key=lambda i: int(lengths[i]))
    tables: dict[str, Table] = {}
    for start in tracked(range(0, max(1, len(mine)), batch_size), label):
        where = mine[start : start + batch_size] or [0]  # no share: only learn how wide rows are
        chunk = [examples[i] for i in where]
        predictions = measuring.predict(module, task.collate(chunk).to(device))
        targets = [task.target(example) for example in chunk]
        if see and mine:
            for seen in zip(where, chunk, predictions, targets, strict=True):
                see(*seen)
        for metric in metrics:
            rows = [
                metric.statistics(prediction, target)
                for prediction, target in zip(predictions, targets, strict=True)
            ]
            if metric.label not in tables:
                tables[metric.label] = _empty(metric, len(examples), len(rows[0]))
            table = tables[metric.label]
            if mine:
                table[where] = rows
    module.train(was_training)
    if world:  # each rank filled its own rows and left zeros elsewhere: a sum gathers them
        world.sum_([torch.from_numpy(tables[metric.label]) for metric in metrics])
    return tables


def _empty(metric: Metric, examples: int, width: int) -> Table:
    """Return zeros for the rows of a metric.

    Raises:
        CapacityError: if they would fill the memory.
    """
    size = 8 * examples * width
    if size > _BYTES:
        raise CapacityError(
            f"to measure {metric.label} takes too much memory.",
            expected=f"at most {_BYTES / 2**30:.0f} GiB",
            got=f"{size / 2**30:.1f} GiB: {examples:,} examples of {width:,} numbers each",
            fix="set fewer records aside for it (data.split), or merge rare labels.",
        )
    return np.zeros((examples, width))


def baseline_rows(
    task: Task, baseline: Baseline, examples: Sequence[Example], label: str = "baseline"
) -> dict[str, list[Statistics]]:
    """Return the rows of each metric for a simple predictor."""
    metrics = task.metrics()
    rows: dict[str, list[Statistics]] = {metric.label: [] for metric in metrics}
    for start in tracked(range(0, len(examples), _AT_ONCE), label):
        some = [examples[at] for at in range(start, min(start + _AT_ONCE, len(examples)))]
        if isinstance(baseline, StrongBaseline):
            predictions = baseline.predict_many(some)
        else:
            predictions = [baseline(example) for example in some]
        for example, prediction in zip(some, predictions, strict=True):
            target = task.target(example)
            for metric in metrics:
                rows[metric.label].append(metric.statistics(prediction, target))
    return rows
