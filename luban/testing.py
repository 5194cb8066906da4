"""The laws of each kind, as functions: run them over your own components too.

    from luban.testing import check_task
    check_task(MyTask(), model=MyModel(), records=[...])

Each raises ``ContractError`` with the law that was broken. Luban's own tests run them over
every registered component.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luban.core.batch import Batch, Losses, LossFn
from luban.core.component import Component
from luban.core.contracts import (
    Cleaner,
    Example,
    Mechanism,
    Metric,
    Model,
    Optimizer,
    Ports,
    Record,
    Schedule,
    Source,
    Supervision,
    Tally,
    Task,
    Tokenizer,
)
from luban.core.errors import ContractError


def check_component(component: Component) -> None:
    """Any component: a value that survives a round trip through plain data."""
    base: type[Component] = next(c for c in type(component).__mro__ if "kind" in c.__dict__)
    again = base.from_dict(component.to_dict())
    law(again == component, component, "from_dict(to_dict()) is the same component")
    law(again.digest() == component.digest(), component, "equal components, equal digests")
    law(bool(type(component).__doc__), component, "the class has a docstring")
    if type(component).model_fields:
        field = next(iter(type(component).model_fields))
        try:
            setattr(component, field, None)
        except ValueError:
            return
        law(False, component, "a component is frozen")


def check_source(source: Source) -> None:
    """Reading is repeatable, every record is a table and says where it came from."""
    check_component(source)
    law("train" in source.splits(), source, "there is a train split")
    first, second = (list(source.read("train")) for _ in range(2))
    law(len(first) > 0, source, "the train split has records")
    law(first == second, source, "two readings give the same records")
    law(all(record.get("_where") for record in first), source, "each record has _where")
    law(all(path.is_file() for path in source.files()), source, "files() lists files that exist")


def check_cleaner(cleaner: Cleaner, records: Sequence[Record]) -> None:
    """Cleaning is deterministic, leaves its input alone, counts, and is done after one pass."""
    check_component(cleaner)
    before = copy.deepcopy(list(records))
    tallies = [Tally(), Tally()]
    once, again = (list(cleaner.clean(iter(records), tally)) for tally in tallies)
    law(list(records) == before, cleaner, "the records given are not changed in place")
    law(once == again and tallies[0].counts == tallies[1].counts, cleaner, "deterministic")
    changed = len(once) != len(before) or any(r not in before for r in once)
    law(bool(tallies[0].counts) == changed, cleaner, "counts exactly when something changed")
    twice = Tally()
    law(list(cleaner.clean(iter(once), twice)) == once, cleaner, "a second pass changes nothing")
    law(not twice.counts, cleaner, "a second pass counts nothing")


def check_tokenizer(tokenizer: Tokenizer, texts: Sequence[str]) -> None:
    """Round trip of the texts learned from, exact byte counts, the same after saving."""
    check_component(tokenizer)
    learned = tokenizer.learn(texts)
    table = learned.token_bytes()
    law(table.shape == (learned.size,), learned, "token_bytes has one entry per id")
    for text in texts:
        ids = learned.encode(text)
        law(all(0 <= i < learned.size for i in ids), learned, "ids lie in [0, size)")
        law(learned.end not in ids, learned, "no special token without being asked for")
        law(learned.decode(ids) == text, learned, "decode(encode(text)) == text")
        law(int(table[ids].sum()) == len(text.encode()), learned, "token_bytes adds up")
    law(learned.encode_batch(texts) == [learned.encode(t) for t in texts], learned, "batch == one")
    with tempfile.TemporaryDirectory() as folder:
        learned.save(Path(folder))
        loaded = tokenizer.load(Path(folder))
    same = [loaded.encode(text) == learned.encode(text) for text in texts]
    law(all(same) and loaded.size == learned.size, learned, "the same after save and load")


def check_metric(
    metric: Metric, predictions: Sequence[Any], targets: Sequence[Any], *, best: float | None
) -> None:
    """Rows of equal length, a finite result that does not depend on order; perfection scores best.

    Args:
        metric: The metric.
        predictions: At least two.
        targets: One for each.
        best: The value that predictions equal to targets must get; None: no such notion.
    """
    check_component(metric)
    rows = [metric.row(p, t) for p, t in zip(predictions, targets, strict=True)]
    law(len({len(row) for row in rows}) == 1, metric, "rows have one length")
    table = np.asarray(rows, dtype=np.float64)
    value = metric.reduce(table)
    law(isinstance(value, float) and np.isfinite(value), metric, "the value is a finite float")
    law(np.isclose(metric.reduce(table[::-1]), value), metric, "order does not matter")
    twice = metric.reduce(np.concatenate([table, table]))
    law(np.isclose(twice, value), metric, "every row twice changes nothing")
    if best is not None:
        perfect = np.asarray([metric.row(t, t) for t in targets], dtype=np.float64)
        law(np.isclose(metric.reduce(perfect), best), metric, f"a perfect prediction gets {best}")


def check_optimizer(optimizer: Optimizer) -> None:
    """Lowers a convex loss; takes its state back; decays matrices only."""
    check_component(optimizer)

    def train(steps: int, module: nn.Module, state: dict[str, Any] | None = None) -> Any:
        built = optimizer.build(list(module.named_parameters()))
        if state is not None:
            built.load_state_dict(state)
        x = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
        y = x @ torch.linspace(-1, 1, 32).reshape(8, 4)
        values = []
        for _ in range(steps):
            built.zero_grad()
            loss = (module(x) - y).square().mean()
            loss.backward()
            built.step()
            values.append(float(loss.detach()))
        return built, values

    torch.manual_seed(0)
    module = nn.Linear(8, 4)
    built, values = train(20, module)
    law(values[-1] < values[0], optimizer, "20 steps lower a convex loss")
    law(all("initial_lr" in g for g in built.param_groups), optimizer, "groups have initial_lr")
    decays = {p.ndim for g in built.param_groups if g.get("weight_decay") for p in g["params"]}
    law(1 not in decays, optimizer, "weight decay spares vectors")
    twin = copy.deepcopy(module)
    state = copy.deepcopy(built.state_dict())
    for group in built.param_groups:
        group["lr"] = group["initial_lr"]
    _, again = train(3, twin, state)
    _, more = train(3, module, state)
    law(again == more, optimizer, "a restored state continues the same way")


def check_schedule(schedule: Schedule) -> None:
    """A factor in [0, 1] that is a pure function of step and progress."""
    check_component(schedule)
    points = [(step, step / 1000) for step in range(1000)]
    factors = [schedule.factor(step, progress) for step, progress in points]
    law(all(0 <= f <= 1 for f in factors), schedule, "factors lie in [0, 1]")
    law(max(factors) > 0, schedule, "some factor is positive")
    again = [schedule.factor(step, progress) for step, progress in reversed(points)]
    law(again[::-1] == factors, schedule, "a pure function")


def check_mechanism(mechanism: Mechanism) -> None:
    """The draw is a pure function of its arguments and stays in range."""
    check_component(mechanism)
    draws = [mechanism.draw(step, 8, 50, 3) for step in range(20)]
    back = [mechanism.draw(step, 8, 50, 3) for step in reversed(range(20))][::-1]
    law(draws == back, mechanism, "draw does not depend on what was drawn before")
    law(all(0 <= i < 50 and e >= 0 for d in draws for e, i in d), mechanism, "draws in range")
    law(draws != [mechanism.draw(s, 8, 50, 4) for s in range(20)], mechanism, "the seed matters")


def check_model(model: Model, ports: Ports, batch: Batch) -> None:
    """Builds for the ports, returns logits, has a stem, refuses other ports, keeps its weights."""
    check_component(model)
    torch.manual_seed(0)
    module = model.build(ports).eval()
    logits: Tensor = module(**batch.inputs)
    law(logits.shape[0] == len(batch), model, "the first axis of the output is the example")
    law(logits.shape[-1] == ports.outputs, model, "the last axis of the output is ports.outputs")
    law(isinstance(module.get_submodule("stem"), nn.Module), model, "the module names its stem")
    torch.manual_seed(0)
    twin = model.build(ports).eval()
    law(torch.equal(twin(**batch.inputs), logits), model, "the same seed builds the same module")
    back = model.from_hf(model.to_hf(module.state_dict()))
    other = model.build(ports).eval()
    other.load_state_dict(back, strict=False)
    law(torch.equal(other(**batch.inputs), logits), model, "from_hf(to_hf(weights)) == weights")
    wrong = Ports("nothing-known", 1, 1)
    try:
        model.build(wrong)
    except ValueError:
        return
    law(False, model, "refuses ports it does not accept")


def check_task(
    task: Task,
    model: Model,
    records: Sequence[Record],
    *,
    mechanism: Mechanism,
    tolerance: float = 1e-5,
) -> None:
    """The joints: per-example sums, padding, order, micro-batches, save and load.

    Args:
        task: The task, not yet learned.
        model: A small model for it, without dropout.
        records: At least four training records of different lengths.
        mechanism: What turns losses into the gradient.
        tolerance: Largest absolute difference that adding in another order may cause.
    """
    check_component(task)
    learned = task.learn(records)
    examples = learned.encode_batch(records)
    law(_equal(examples, [learned.encode(r) for r in records]), task, "batch == one by one")
    law(
        all(isinstance(learned.supervision(e), Supervision) for e in examples),
        task,
        "supervision of each example",
    )
    torch.manual_seed(0)
    module = model.build(learned.ports()).eval()
    whole = learned.loss(module, learned.collate(examples))
    law(whole.sums.shape == (len(examples),), task, "one loss sum per example")
    law(bool((whole.counts > 0).all()), task, "every example counts")
    single = Losses.cat([learned.loss(module, learned.collate([e])) for e in examples])
    law(_near(single, whole, tolerance), task, "padding does not change an example's loss")
    turned = learned.loss(module, learned.collate(examples[::-1]))
    flipped = Losses(turned.sums.flip(0), turned.counts.flip(0))
    law(_near(flipped, whole, tolerance), task, "order does not change an example's loss")
    uncut = _gradient(module, examples, learned.collate, learned.loss, mechanism, len(examples))
    for size in (1, 2, 3):
        cut = _gradient(module, examples, learned.collate, learned.loss, mechanism, size)
        law(
            bool((cut - uncut).abs().max() < tolerance),
            task,
            f"micro-batches of {size} give the gradient of the whole batch",
        )
    predictions = learned.predict(module, learned.collate(examples))
    law(len(predictions) == len(examples), task, "one prediction per example")
    for metric in learned.metrics():
        rows = [
            metric.row(p, learned.target(e)) for p, e in zip(predictions, examples, strict=True)
        ]
        law(np.isfinite(metric.reduce(np.asarray(rows, float))), task, f"{metric.name} is finite")
    with tempfile.TemporaryDirectory() as folder:
        learned.save(Path(folder))
        loaded = task.load(Path(folder))
    law(loaded.ports() == learned.ports(), task, "the same ports after save and load")
    law(_equal(loaded.encode_batch(records), examples), task, "the same examples after a reload")


def law(holds: object, component: Component, text: str) -> None:
    """Raise unless a law holds.

    Raises:
        ContractError: naming the component and the law.
    """
    if not holds:
        raise ContractError(f"{type(component).__name__} breaks a law of its kind: {text}.")


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
    mechanism.settle(parameters, float(losses.sums.sum()), float(losses.counts.sum()))
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
