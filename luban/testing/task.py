"""The laws of tasks: the joints between data, model and loss."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from luban.core.batch import Batch, Losses, LossFn
from luban.core.contracts import (
    MEASUREMENTS,
    Example,
    Generative,
    Illustrated,
    Mechanism,
    Model,
    Record,
    TargetSummary,
    Task,
    View,
)
from luban.data.views.in_memory import InMemoryExamples
from luban.testing._law import law
from luban.testing.data import check_component, same_records


def check_task(
    task: Task,
    model: Model,
    records: Sequence[Record],
    *,
    mechanism: Mechanism,
    tolerance: float = 1e-6,
) -> None:
    """The joints: per-example sums, padding, order, micro-batches, views, save and load.

    Everything is computed in double precision, so that only a broken law exceeds the tolerance.

    Args:
        task: The task, not yet learned.
        model: A small model for it, without dropout.
        records: At least four training records of different lengths.
        mechanism: What turns losses into the gradient.
        tolerance: Largest absolute difference that adding in another order may cause.
    """
    check_component(task)
    for contract in (Generative, Illustrated):
        named = (name for name in vars(contract) if not name.startswith("_"))
        alike = [name for name in named if hasattr(task, name)]
        fits = isinstance(task, contract) or not alike
        law(fits, task, f"{', '.join(alike)}: only a task that is {contract.__name__} is asked")
    learned = task.learn(records)
    law(
        learned.signature() == task.learn(iter(records)).signature(),
        task,
        "learning is deterministic",
    )
    before = copy.deepcopy(list(records))
    examples = learned.encode_batch(records)
    law(same_records(records, before), task, "encoding leaves the records alone")
    law(_equal(examples, [learned.encode(r) for r in records]), task, "batch == one by one")
    found = [learned.target_summary(example) for example in examples]
    law(all(isinstance(s, TargetSummary) and s.count > 0 for s in found), task, "examples teach")
    _check_view(learned, examples)
    torch.manual_seed(0)
    module = model.build(learned.signature()).double().eval()
    _check_losses(learned, module, examples, mechanism, tolerance)
    _check_predictions(learned, module, examples, tolerance)
    with tempfile.TemporaryDirectory() as folder:
        learned.save(Path(folder))
        loaded = task.load(Path(folder))
    law(loaded.signature() == learned.signature(), task, "the same signature after save and load")
    law(_equal(loaded.encode_batch(records), examples), task, "the same examples after a reload")
    _check_saved_twice(learned, module, examples)


def _check_saved_twice(task: Task, module: nn.Module, examples: Sequence[Example]) -> None:
    """What is tuned and saved twice is the same to the byte, but what a clock measured."""
    saved = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as name, torch.no_grad():
            task.calibrate(module, [_double(task.collate(examples))]).save(Path(name))
            files = {
                path.relative_to(name).as_posix(): path.read_bytes()
                for path in Path(name).rglob("*")
                if path.is_file() and path.name != MEASUREMENTS
            }
        saved.append(files)
    law(saved[0] == saved[1], task, f"save writes no measured time but into {MEASUREMENTS}")


def _check_view(task: Task, examples: Sequence[Example]) -> None:
    store = InMemoryExamples(examples)
    views = [task.view(store, epoch, 0) for epoch in (0, 1, 2)]
    law(len({len(view) for view in views}) == 1, task, "every epoch has as many examples")
    law(_equal(views[0], task.view(store, 0, 0)), task, "a view is a function of epoch and seed")
    evaluated = [task.view(store, None, seed) for seed in (0, 1)]
    law(_equal(*evaluated), task, "the view for evaluation has nothing random")
    for view in (*views, *evaluated):
        law(isinstance(view, View), task, "a view is a View")
        for of_each in (view.lengths, view.groups):
            fits = of_each is None or of_each.shape == (len(view),)
            law(fits, task, "lengths and groups are those of each example of the view")


def _check_losses(
    task: Task,
    module: nn.Module,
    examples: Sequence[Example],
    mechanism: Mechanism,
    tolerance: float,
) -> None:

    def collate(examples: Sequence[Example]) -> Batch:
        return _double(task.collate(examples))

    whole = task.loss(module, collate(examples))
    law(whole.sums.shape == (len(examples),), task, "one loss sum per example")
    law(bool((whole.counts > 0).all()), task, "every example counts")
    single = Losses.cat([task.loss(module, collate([e])) for e in examples])
    law(_near(single, whole, tolerance), task, "padding does not change an example's loss")
    turned = task.loss(module, collate(examples[::-1]))
    flipped = Losses(turned.sums.flip(0), turned.counts.flip(0))
    law(_near(flipped, whole, tolerance), task, "order does not change an example's loss")
    uncut = _gradient(module, examples, collate, task.loss, mechanism, len(examples))
    for size in (1, 2, 3):
        cut = _gradient(module, examples, collate, task.loss, mechanism, size)
        law(
            bool((cut - uncut).abs().max() < tolerance),
            task,
            f"micro-batches of {size} give the gradient of the whole batch",
        )


@torch.inference_mode()
def _check_predictions(
    task: Task, module: nn.Module, examples: Sequence[Example], tolerance: float
) -> None:
    together = task.predict(module, _double(task.collate(examples)))
    law(len(together) == len(examples), task, "one prediction per example")
    alone = [task.predict(module, _double(task.collate([e])))[0] for e in examples]
    law(bool(task.metrics()), task, "there is a metric")
    for metric in task.metrics():
        both = [
            np.asarray(
                [metric.statistics(p, task.target(e)) for p, e in zip(made, examples, strict=True)]
            )
            for made in (together, alone)
        ]
        law(np.isfinite(metric.compute(both[0])), task, f"{metric.name} is finite")
        same = np.allclose(both[0], both[1], rtol=tolerance, atol=tolerance)
        law(same, task, "a prediction does not depend on the rest of the batch")
    if not isinstance(task, Illustrated):
        return
    for prediction, example in zip(together, examples, strict=True):
        for target in (task.target(example), None):
            texts = task.describe(example, prediction, target)
            law(all(isinstance(text, str) for text in texts.values()), task, "texts describe it")


def _double(batch: Batch) -> Batch:
    """Return the batch with its floating-point tensors in double precision."""
    inputs, targets = (
        {name: t.double() if t.is_floating_point() else t for name, t in side.items()}
        for side in (batch.inputs, batch.targets)
    )
    return Batch(inputs, targets)


def _gradient(  # noqa: PLR0913
    module: nn.Module,
    examples: Sequence[Example],
    collate: Callable[[Sequence[Example]], Batch],
    loss: LossFn,
    mechanism: Mechanism,
    size: int,
) -> Tensor:
    module.zero_grad(set_to_none=True)
    parts = [
        mechanism.accumulate(module, collate(examples[at : at + size]), loss)
        for at in range(0, len(examples), size)
    ]
    losses = Losses.cat(parts)
    parameters = [p for p in module.parameters() if p.grad is not None]
    mechanism.finish_gradient(parameters, float(losses.sums.sum()), float(losses.counts.sum()))
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def _near(a: Losses, b: Losses, tolerance: float) -> bool:
    """Whether sums agree per counted unit, and counts exactly."""
    if not torch.equal(a.counts, b.counts):
        return False
    return bool(((a.sums - b.sums).abs() / b.counts.clamp(min=1)).max() < tolerance)


def _equal(a: Sequence[Example], b: Sequence[Example]) -> bool:
    return len(a) == len(b) and all(
        x.keys() == y.keys() and all(np.array_equal(x[k], y[k]) for k in x)
        for x, y in zip(a, b, strict=True)
    )
