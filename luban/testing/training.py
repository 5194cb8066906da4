"""The laws of components that models are made, trained and measured with."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer as TorchOptimizer

from luban.core.batch import Batch, Losses
from luban.core.contracts import (
    Mechanism,
    Metric,
    Model,
    Optimizer,
    Pool,
    Schedule,
    Signature,
    Statistics,
)
from luban.core.intervals import measured
from luban.nn.losses import WithAuxiliary
from luban.testing._law import law, refuses
from luban.testing.data import check_component

POOL = Pool(50, np.arange(50) % 7, np.arange(50) % 3)


def check_metric(
    metric: Metric, predictions: Sequence[Any], targets: Sequence[Any], *, best: float | None
) -> None:
    """Rows of one length, in any order, reduce to a value within bounds that its interval holds.

    Args:
        metric: The metric.
        predictions: At least two.
        targets: One for each.
        best: The value that predictions equal to targets must get; None: no such notion.
    """
    check_component(metric)
    rows = [metric.statistics(p, t) for p, t in zip(predictions, targets, strict=True)]
    law(len({len(row) for row in rows}) == 1, metric, "rows have one length")
    table = np.asarray(rows, dtype=np.float64)
    value = metric.compute(table)
    law(isinstance(value, float) and np.isfinite(value), metric, "the value is a finite float")
    law(np.isclose(metric.compute(table[::-1]), value), metric, "order does not matter")
    often, oftener = (metric.compute(np.tile(table, (times, 1))) for times in (64, 128))
    law(np.isclose(often, oftener, rtol=0.02), metric, "every row twice changes nothing")
    check_interval(metric, rows)
    if best is not None:
        perfect = np.asarray([metric.statistics(t, t) for t in targets], dtype=np.float64)
        law(np.isclose(metric.compute(perfect), best), metric, f"a perfect prediction gets {best}")
        known = not np.isfinite(metric.best) or best == metric.best
        law(known, metric, "what a perfect prediction gets is the bound of the metric")
        gain = (best - value) if metric.higher_is_better else (value - best)
        law(gain >= 0, metric, "no prediction is better than a perfect one")


def check_interval(metric: Metric, rows: Sequence[Statistics], *, rounds: int = 100) -> None:
    """The interval of any rows, also of one, holds their value; it is narrow only if they agree.

    Args:
        metric: The metric that made the rows.
        rows: At least one.
        rounds: Number of resamples.
    """
    slack = 1e-9 * max([1.0, *filter(np.isfinite, map(abs, metric.bounds))])  # sums are rounded
    lowest, highest = metric.bounds[0] - slack, metric.bounds[1] + slack
    for some in (rows, rows[:1]):
        table = np.asarray(some, dtype=np.float64)
        claim = measured(metric, list(some), rounds=rounds)
        value = float(claim.value)
        law(lowest <= value <= highest, metric, "the value lies within the bounds of the metric")
        if not metric.sampled:
            law(claim.low is claim.high is None, metric, "without a sample there is no interval")
            continue
        low, high = (float("nan") if end is None else end for end in (claim.low, claim.high))
        law(low <= value <= high, metric, "an interval holds its value")
        within = min(lowest, value) <= low and high <= max(highest, value)
        law(within, metric, "an interval lies within the bounds of the metric")
        others = [metric.compute(np.delete(table, at, 0)) for at in range(len(table) - 1)]
        varies = not np.allclose(others, value)
        law(not varies or low < high, metric, "where rows differ, the interval has a width")


def check_optimizer(optimizer: Optimizer) -> None:
    """Lowers a convex loss; takes its state back; decays matrices only; a rate of 0 is a stop."""
    check_component(optimizer)

    def train(steps: int, module: nn.Module, built: TorchOptimizer) -> list[float]:
        x = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
        y = x @ torch.linspace(-1, 1, 32).reshape(8, 4)
        values = []
        for _ in range(steps):
            built.zero_grad()
            loss = (module(x) - y).square().mean()
            loss.backward()
            built.step()
            values.append(float(loss.detach()))
        return values

    torch.manual_seed(0)
    module = nn.Linear(8, 4)
    built = optimizer.build(list(module.named_parameters()))
    values = train(20, module, built)
    law(values[-1] < values[0], optimizer, "20 steps lower a convex loss")
    law(all("initial_lr" in g for g in built.param_groups), optimizer, "groups have initial_lr")
    held = sorted(id(p) for group in built.param_groups for p in group["params"])
    law(held == sorted(map(id, module.parameters())), optimizer, "each parameter is in one group")
    decays = {p.ndim for g in built.param_groups if g.get("weight_decay") for p in g["params"]}
    law(1 not in decays, optimizer, "weight decay spares vectors")
    twin = copy.deepcopy(module)
    restored = optimizer.build(list(twin.named_parameters()))
    restored.load_state_dict(copy.deepcopy(built.state_dict()))
    same = train(3, twin, restored) == train(3, module, built)
    law(same, optimizer, "a restored state continues the same way")
    law(_stands_still(optimizer, module), optimizer, "a learning rate of 0 changes nothing")


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
    """The draw is a pure function of its arguments and stays in range; losses come detached."""
    check_component(mechanism)
    draws = [mechanism.sample_examples(step, 8, POOL, 3) for step in range(20)]
    back = [mechanism.sample_examples(step, 8, POOL, 3) for step in reversed(range(20))][::-1]
    law(draws == back, mechanism, "draw does not depend on what was drawn before")
    law(all(0 <= i < 50 and e >= 0 for d in draws for e, i in d), mechanism, "draws in range")
    law(
        draws != [mechanism.sample_examples(s, 8, POOL, 4) for s in range(20)],
        mechanism,
        "the seed matters",
    )
    twin = copy.deepcopy(POOL)
    same = draws == [mechanism.sample_examples(step, 8, twin, 3) for step in range(20)]
    law(same, mechanism, "equal pools, equal draws")
    kept = [np.array_equal(getattr(twin, n), getattr(POOL, n)) for n in ("lengths", "groups")]
    law(all(kept), mechanism, "drawing leaves the pool alone")
    for pool in (Pool(50, None, POOL.groups), Pool(1, np.ones(1), np.zeros(1, int))):
        drawn = [i for step in range(4) for _, i in mechanism.sample_examples(step, 8, pool, 3)]
        law(all(0 <= i < pool.size for i in drawn), mechanism, "draws from any pool in range")
    torch.manual_seed(0)
    module, batch = nn.Linear(3, 2).double(), Batch({"x": torch.ones(4, 3).double()}, {})

    def loss(model: nn.Module, batch: Batch) -> Losses:
        sums = model(batch.inputs["x"]).square().sum(1)
        return Losses(sums, torch.full_like(sums, 2.0))

    losses = mechanism.accumulate(module, batch, loss)
    law(losses.sums.shape == losses.counts.shape == (4,), mechanism, "one loss per example")
    law(not losses.sums.requires_grad, mechanism, "the losses returned are detached")
    mechanism.finish_gradient(list(module.parameters()), float(losses.sums.sum()), 8.0)
    settled = [p.grad is not None and bool(p.grad.isfinite().all()) for p in module.parameters()]
    law(all(settled), mechanism, "every parameter gets a finite gradient")
    cost = mechanism.cost(10, 8, 50)
    law(all(np.isfinite(value) for value in cost.values()), mechanism, "costs are finite")


def check_model(model: Model, signature: Signature, batch: Batch) -> None:
    """Builds for a signature, returns logits, trains whole, keeps its weights, refuses others."""
    check_component(model)
    torch.manual_seed(0)
    module = model.build(signature).eval()
    logits: Tensor = module(**batch.inputs)
    law(logits.shape[0] == len(batch), model, "the first axis of the output is the example")
    if signature.produces == "image":
        law(logits.shape == (len(batch),), model, "the output is one loss per example")
    else:
        width = signature.outputs + (5 if signature.produces == "boxes" else 0)
        law(logits.shape[-1] == width, model, "the last axis of the output is as wide as asked")
    law(isinstance(module.get_submodule("stem"), nn.Module), model, "the module names its stem")
    torch.manual_seed(0)
    twin = model.build(signature).eval()
    law(torch.equal(twin(**batch.inputs), logits), model, "the same seed builds the same module")
    trained, learner, whole = twin.train()(**batch.inputs), module, logits.sum()
    if isinstance(trained, WithAuxiliary):  # a head that only training sees
        learner, whole = twin, trained.logits.sum() + trained.auxiliary.sum()
    whole.backward()  # type: ignore[no-untyped-call]
    reached = all(p.grad is not None for p in learner.parameters() if p.requires_grad)
    law(reached, model, "every trainable weight takes part in the output")
    back = model.from_hf(model.to_hf(module.state_dict()))
    other = model.build(signature).eval()
    other.load_state_dict(back, strict=False)
    law(torch.equal(other(**batch.inputs), logits), model, "from_hf(to_hf(weights)) == weights")
    law(bool(json.dumps(model.hf_config(signature))), model, "hf_config is plain data")
    size = sum(parameter.numel() for parameter in module.parameters())
    law(model.flops_per_token(signature, size) > 0, model, "training costs something")
    refused = refuses(lambda: model.build(Signature("nothing-known", 1, 1)))
    law(refused, model, "refuses signature it does not accept")


def _stands_still(optimizer: Optimizer, module: nn.Module) -> bool:
    """Whether steps at a learning rate of 0 leave every weight as it is."""
    built = optimizer.build(list(module.named_parameters()))
    before = copy.deepcopy(module.state_dict())
    for _ in range(2):
        for group in built.param_groups:
            group["lr"] = 0.0
        module(torch.ones(2, 8)).sum().backward()
        built.step()
    return all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
