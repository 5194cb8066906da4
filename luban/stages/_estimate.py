"""About how long a run takes on this machine, from a few measured steps.

Each piece of work is measured on a few examples and multiplied: a training step of the very loop, a
validation, a prediction, a sample, an interval. An untrained model often writes and searches longer
than a trained one, so the figure is rather too high than too low.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from torch import nn

from luban.core.batch import Batch, LossFn
from luban.core.contracts import Example, Generative, Metric, Statistics, Task
from luban.core.errors import DataError, LubanError
from luban.core.progress import doing, tracked
from luban.data.dataset import Data
from luban.data.views.in_memory import InMemoryExamples
from luban.engine.fit import Plan, State, fit
from luban.engine.precision import Precision
from luban.engine.sizes import build
from luban.engine.world import World
from luban.recipe import Recipe
from luban.stages.evaluate import Evaluate
from luban.stages.train import Train

_LEARN = 50_000  #: records that labels are learned from: a file may be sorted by them
_LOOK = 256  #: records that are encoded to measure with
_LONG = 1.5  #: seconds of a measurement after which it is not made any longer
_COUNT = 3.0  #: seconds for counting the records of a split
_ROUNDS = 200  #: resamplings of a validation


@dataclass(frozen=True, slots=True)
class Estimate:
    """Minutes of a run on this machine, by what they are spent on.

    Attributes:
        prepare: Reading and encoding all records.
        train: Training steps.
        validate: Validations during training.
        evaluate: Predictions, intervals and samples of the evaluation.
        steps: Training steps, as far as they are known before (the clock may end it earlier).
        examples: Training examples of an epoch.
        at_least: Whether records were too many to count, so that all of it may take longer.
    """

    prepare: float
    train: float
    validate: float
    evaluate: float
    steps: int
    examples: int
    at_least: bool = False

    @property
    def minutes(self) -> float:
        """All of it."""
        return self.prepare + self.train + self.validate + self.evaluate

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, minutes by what they are spent on."""
        names = ("minutes", "prepare", "train", "validate", "evaluate")
        rounded = {name: float(f"{getattr(self, name):.3g}") for name in names}
        return {**rounded, "steps": self.steps, "at_least": self.at_least}

    def __str__(self) -> str:
        parts = [(name, getattr(self, name)) for name in ("prepare", "train", "validate")]
        parts.append(("evaluate", self.evaluate))
        told = ", ".join(f"{name} {_time(minutes)}" for name, minutes in parts)
        more = "at least " if self.at_least else ""
        return f"{more}{_time(self.minutes)} ({told}; {self.steps:,} steps, not compiled)"


def estimate_minutes(recipe: Recipe) -> Estimate:
    """Return about how long a run of a recipe takes here; nothing is written.

    Takes some seconds: records are counted, a few are encoded, and a few steps are taken.

    Raises:
        LubanError: what is wrong with the recipe or its data.
    """
    task, rows = first_examples(recipe, recipe.data.available_splits())
    return measure_minutes(recipe, task, rows)


def first_examples(
    recipe: Recipe, splits: Sequence[str]
) -> tuple[Task, dict[str, Sequence[Example]]]:
    """Return a task that has learned from many training records, and a few examples of splits."""
    data = recipe.data
    with doing("estimate: read"):
        records = {split: list(islice(data.records(split), _LOOK)) for split in splits}
        task = recipe.task.learn(islice(data.records("train"), _LEARN))
    return task, {split: _encoded(task, some) for split, some in records.items()}


def measure_minutes(recipe: Recipe, task: Task, rows: Mapping[str, Sequence[Example]]) -> Estimate:
    """Return the same for a task that has learned and the first encoded examples of each split."""
    train, evaluate = recipe.stage("train"), recipe.stage("evaluate")
    if not isinstance(train, Train) or not isinstance(evaluate, Evaluate):
        raise LubanError("only runs of luban's own stages can be estimated.", where="train")
    with doing("estimate: count the records"):
        counts = {split: _count(recipe.data, split) for split in rows}
    sizes = {split: count for split, (count, _) in counts.items()}
    with doing("estimate: measure training steps"):
        views = {
            split: task.view(InMemoryExamples(some), None, recipe.seed)
            for split, some in rows.items()
        }
        measured = measured_training(recipe, task, rows["train"], sizes["train"])
        module, step, per_epoch = measured.module, measured.seconds, measured.examples
        budget = train.budget().in_steps(train.batch_size, per_epoch)
        steps = _steps(budget.max_steps, budget.max_tokens, measured.tokens)
        seconds = steps * step
        if budget.max_minutes is not None and (seconds > 60 * budget.max_minutes or not steps):
            seconds = 60 * budget.max_minutes
            steps = int(seconds / step)
    scale = {split: sizes[split] / max(1, len(rows[split])) for split in rows}
    with doing("estimate: measure a validation"):
        looks = steps // train.eval_steps + (steps % train.eval_steps > 0)
        validation = 0.0
        if "validation" in views and steps:
            look = _looking(task, task.validate_batch, task.validation_metrics(), module, _ROUNDS)
            size = len(views["validation"]) * scale["validation"]
            validation = looks * look(views["validation"], size, train.eval_batch_size)
    with doing("estimate: measure an evaluation"):
        held = next((split for split in ("test", "validation") if split in views), None)
        tested = 0.0
        if held is not None:
            size, rounds = len(views[held]) * scale[held], evaluate.bootstrap_rounds
            look = _looking(task, task.predict, task.metrics(), module, rounds)
            tested = look(views[held], size, evaluate.batch_size)
            tested += _sample_seconds(task, module, evaluate.num_samples, recipe.seed)
    return Estimate(
        prepare=_encode_seconds(task, recipe.data, sizes) / 60,
        train=seconds / 60,
        validate=validation / 60,
        evaluate=tested / 60,
        steps=steps,
        examples=per_epoch,
        at_least=not all(whole for _, whole in counts.values()),
    )


def _encoded(task: Task, records: Iterable[Any]) -> list[Example]:
    """Return the examples of the records that can be used."""
    examples, last = list[Example](), DataError("there is no record.", where="data")
    for record in tracked(records, "estimate: encode"):
        try:
            examples.append(task.encode(record))
        except DataError as error:
            last = error
    if not examples:
        raise last
    return examples


def _count(data: Data, split: str) -> tuple[int, bool]:
    """Return how many records a split has, and whether all were counted in time."""
    end, count = time.monotonic() + _COUNT, 0
    for count, _ in enumerate(data.records(split), 1):
        if time.monotonic() > end:
            return count, False
    return count, True


def _encode_seconds(task: Task, data: Data, sizes: Mapping[str, int]) -> float:
    """Return how long reading and encoding all records takes, read twice: once to learn."""
    start, some = time.perf_counter(), list(islice(data.records("train"), _LOOK))
    read = time.perf_counter() - start
    for record in some:
        try:
            task.encode(record)
        except DataError:
            continue
        if time.perf_counter() - start > _LONG + read:
            break
    each = (time.perf_counter() - start) / max(1, len(some))
    return 2 * each * sum(sizes.values())


@dataclass(frozen=True, slots=True)
class Measured:
    """A module after some steps, what a step takes and learns from, and an epoch's examples."""

    module: nn.Module
    seconds: float
    tokens: float
    examples: int


def measured_training(
    recipe: Recipe,
    task: Task,
    rows: Sequence[Example],
    records: int,
    timing: Callable[[Callable[[int], Any], int], float] | None = None,
) -> Measured:
    """Return a module after some steps of the very loop, and what a step takes.

    Args:
        recipe: The recipe.
        task: Its task; it has learned.
        rows: Some encoded examples of the training split.
        records: How many records that split has.
        timing: Returns the seconds of a step with so many examples; by default, quickly.

    Raises:
        LubanError: if the recipe's training is not luban's own.
    """
    options = recipe.stage("train")
    if not isinstance(options, Train):
        raise LubanError("only luban's own training can be measured before.", where="train")
    world = World.start(options.device)
    torch.manual_seed(recipe.seed)
    model = recipe.model.resolve()
    module = build(model, task.signature())
    module, loss = prepared_module(module, task, options)
    module = module.to(world.device)
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    state = State(module, options.optimizer.build(named))
    view = task.view(InMemoryExamples(rows), 0, recipe.seed)
    per_epoch = max(1, round(len(view) * records / len(rows)))
    plan = Plan(
        loss=loss,
        mechanism=options.mechanism,
        schedule=options.schedule,
        budget=options.budget().in_steps(options.batch_size, per_epoch),
        seed=recipe.seed,
        max_grad_norm=options.max_grad_norm,
        precision=Precision.resolve(options.precision, world.device),
    )
    if options.max_steps == 0:
        return Measured(module, 0.0, 0.0, per_epoch)
    parts = options.gradient_accumulation_steps
    micro, counts = -(-options.batch_size // parts), [0.0]

    def work(size: int) -> None:
        some = list(islice(cycle(view[i] for i in range(len(view))), size))
        state.step, state.tokens, state.seconds = 0, 0, 0.0
        counts.append(next(fit(state, iter([[task.collate(some)]]), plan, world)).count / size)

    seconds = (timing or _seconds)(work, micro) * parts
    return Measured(module, seconds, counts[-1] * options.batch_size, per_epoch)


def prepared_module(module: nn.Module, task: Task, options: Train) -> tuple[nn.Module, LossFn]:
    """Return the module with its adapter and what objectives add, and the loss they wrap."""
    if options.adapter is not None:
        module = options.adapter.apply(module, ())
    loss: LossFn = task.loss
    for objective in options.objectives:
        objective.attach(module, task)
        loss = objective.wrap(loss, task)
    return module, loss


def _steps(max_steps: int | None, max_tokens: int | None, tokens: float) -> int:
    """Return the steps of a budget at so many tokens a step; 0: only the clock ends it."""
    bounds = [] if max_steps is None else [max_steps]
    if max_tokens is not None:
        bounds.append(int(max_tokens / max(1.0, tokens)))
    return min(bounds, default=0)


def _seconds(work: Callable[[int], Any], size: int) -> float:
    """Return the seconds of ``work(size)``; of a smaller size, multiplied, if it takes long."""
    at = min(2, size)
    work(at)  # the first call is slower
    while True:
        took = _timed(work, at)
        if at == size:
            return min(took, _timed(work, at)) if took < _LONG else took
        if took > _LONG / 4:
            return took * size / at
        at = min(size, at * 4)


def _timed(work: Callable[[int], Any], size: int) -> float:
    start = time.perf_counter()
    work(size)
    return time.perf_counter() - start


def _looking(
    task: Task,
    predict: Callable[[nn.Module, Batch], list[Any]],
    metrics: tuple[Metric, ...],
    module: nn.Module,
    rounds: int,
) -> Callable[[Sequence[Example], float, int], float]:
    """Return what gives the seconds of measuring ``size`` examples by looking at a few."""

    @torch.inference_mode()
    def seconds(view: Sequence[Example], size: float, batch_size: int) -> float:
        device, rows = next(module.parameters()).device, dict[str, list[Statistics]]()
        was = module.training
        module.eval()

        def work(count: int) -> None:
            some = [view[i % len(view)] for i in range(count)]
            said = predict(module, task.collate(some).to(device))
            targets = [task.target(example) for example in some]
            for metric in metrics:
                pairs = zip(said, targets, strict=True)
                rows[metric.label] = [metric.statistics(one, target) for one, target in pairs]

        batch = max(1, min(batch_size, round(size)))
        predicting = _seconds(work, batch) * size / batch
        module.train(was)
        return predicting + sum(_interval(m, rows[m.label], size, rounds) for m in metrics)

    return seconds


def _interval(metric: Metric, rows: list[Statistics], size: float, rounds: int) -> float:
    """Return the seconds of a bootstrap interval of as many rows."""
    table = np.asarray(rows, dtype=np.float64).reshape(len(rows), -1)
    numbers = np.random.default_rng(0).integers(0, len(table), min(round(size), 100_000))
    start = time.perf_counter()
    metric.compute(table[numbers])
    return (time.perf_counter() - start) * rounds * max(1.0, size / 100_000)


def _sample_seconds(task: Task, module: nn.Module, count: int, seed: int) -> float:
    if not count or not isinstance(task, Generative):
        return 0.0
    module.eval()
    start = time.perf_counter()
    if not task.samples(module, 1, seed):
        return 0.0
    one = time.perf_counter() - start
    if one > _LONG / 2 or count == 1:
        return one * count
    some = min(count, 4)
    start = time.perf_counter()
    task.samples(module, some, seed)
    return (time.perf_counter() - start) * count / some


def _time(minutes: float) -> str:
    """Return minutes in words: seconds where they are few, hours where they are many."""
    if minutes < 1:
        return f"{max(1, round(60 * minutes))} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
