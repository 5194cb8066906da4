"""Rows of metrics over a split: the one way in which validation and evaluation measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from luban.core.contracts import Baseline, Example, Row, Task
from luban.engine.world import World

Table: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"


@torch.inference_mode()
def model_rows(  # noqa: PLR0913
    task: Task,
    module: nn.Module,
    examples: Sequence[Example],
    *,
    batch_size: int,
    world: World | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, list[Row]]:
    """Return the rows of each of the task's metrics, one per example, on every rank.

    Args:
        task: What predicts and measures.
        module: The model; left in the mode it was in.
        examples: The view of a split that evaluation uses.
        batch_size: Examples predicted at once.
        world: The ranks that share the work.
        progress: Called with the number of examples done.
    """
    was_training = module.training
    module.eval()
    rank, ranks = (world.rank, world.size) if world else (0, 1)
    device = next(module.parameters()).device
    metrics = task.metrics()
    mine = range(rank, len(examples), ranks)
    tables: dict[str, Table] = {}
    for start in range(0, max(1, len(mine)), batch_size):
        where = mine[start : start + batch_size] or [0]  # no share: only learn how wide rows are
        chunk = [examples[i] for i in where]
        predictions = task.predict(module, task.collate(chunk).to(device))
        for metric in metrics:
            rows = [
                metric.row(prediction, task.target(example))
                for prediction, example in zip(predictions, chunk, strict=True)
            ]
            table = tables.setdefault(metric.label, np.zeros((len(examples), len(rows[0]))))
            if mine:
                table[where] = rows
        if progress:
            progress(min(len(examples), (start + len(chunk)) * ranks))
    module.train(was_training)
    if world:  # each rank filled its own rows and left zeros elsewhere: a sum gathers them
        world.sum_([torch.from_numpy(tables[metric.label]) for metric in metrics])
    return {label: [tuple(row) for row in table.tolist()] for label, table in tables.items()}


def baseline_rows(
    task: Task, baseline: Baseline, examples: Sequence[Example]
) -> dict[str, list[Row]]:
    """Return the rows of each metric for a trivial predictor."""
    rows: dict[str, list[Row]] = {metric.label: [] for metric in task.metrics()}
    for example in examples:
        prediction, target = baseline(example), task.target(example)
        for metric in task.metrics():
            rows[metric.label].append(metric.row(prediction, target))
    return rows
