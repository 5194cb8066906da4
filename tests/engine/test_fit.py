"""The loop: its gradient, its numbers, its end, its guard."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import repeat

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.errors import DataError, Diverged, RecipeError
from luban.engine.budget import Budget
from luban.engine.fit import Plan, State, Step, fit
from luban.engine.guard import Guard
from luban.engine.world import World
from tests.engine import toy


def gradients(state: State, parts: int = 1) -> list[Tensor]:
    """The gradient of the first step: what a rate of 1 takes from the weights."""
    before = [p.detach().clone() for p in state.model.parameters()]
    plan = replace(toy.plan_of(10), max_grad_norm=0.0)
    next(toy.train(state, plan, gradient_accumulation_steps=parts))
    rate = state.optimizer.param_groups[0]["lr"]
    after = state.model.parameters()
    return [(old - new.detach()) / rate for old, new in zip(before, after, strict=True)]


@pytest.mark.parametrize("parts", [2, 3, 5, 12, 50])
def test_accumulated_gradient_equals_the_unsplit_one(parts: int) -> None:
    whole = gradients(toy.state_of("sgd", momentum=0.0, learning_rate=3.0))
    cut = gradients(toy.state_of("sgd", momentum=0.0, learning_rate=3.0), parts)
    for a, b in zip(whole, cut, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_gradient_is_that_of_the_mean_over_all_positions() -> None:
    state = toy.state_of("sgd", momentum=0.0, learning_rate=3.0)
    reference = toy.Net()
    reference.load_state_dict(state.model.state_dict())
    batch = toy.loader_of().step(0)[0]
    labels = batch.targets["labels"]
    expected = nn.functional.cross_entropy(reference(**batch.inputs).mT, labels)
    expected.backward()  # type: ignore[no-untyped-call]
    found = gradients(state)
    for parameter, grad in zip(reference.parameters(), found, strict=True):
        torch.testing.assert_close(parameter.grad, grad, atol=1e-6, rtol=0)


def test_step_reports_what_happened() -> None:
    state = toy.state_of()
    steps = list(toy.train(state, toy.plan_of(5)))
    assert [step.index for step in steps] == [1, 2, 3, 4, 5]
    assert [round(step.progress, 9) for step in steps] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert steps[-1].tokens == sum(step.count for step in steps) == state.tokens
    assert sum(step.seconds for step in steps) == pytest.approx(state.seconds)
    assert steps[0].lr == pytest.approx(1e-3 / 3)
    assert steps[0].loss > steps[-1].loss
    first = toy.loader_of().step(0)[0]
    with torch.no_grad():
        model = toy.state_of().model
        assert steps[0].loss == pytest.approx(float(toy.loss(model, first).mean), abs=1e-6)


def test_time_between_steps_is_not_training_time() -> None:
    ticks = iter(range(100))
    state = toy.state_of()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("luban.engine.fit.time.perf_counter", lambda: next(ticks))
        for _ in toy.train(state, toy.plan_of(4)):
            next(ticks)  # the caller validates
    assert state.seconds == 4


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        (Budget(max_steps=7), 7),
        (Budget(max_steps=7, max_tokens=1), 1),
        (Budget(max_steps=30, num_train_epochs=2.0).in_steps(12, toy.SIZE), 9),
        (Budget(num_train_epochs=1.0).in_steps(12, toy.SIZE), 5),
        (Budget(max_minutes=3 / 60), 3),
    ],
)
def test_first_bound_reached_ends_training(
    budget: Budget, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr("luban.engine.fit.time.perf_counter", lambda: float(next(ticks)))
    plan = replace(toy.plan_of(), budget=budget)
    assert len(list(toy.train(toy.state_of(), plan))) == steps


def test_budget_needs_a_positive_bound() -> None:
    for fields in ({}, {"max_steps": -1}, {"max_minutes": -1.0}):
        with pytest.raises(RecipeError, match="needs a bound"):
            Budget(**fields)
    with pytest.raises(RecipeError, match="in_steps"):
        Budget(num_train_epochs=1.0).progress(0, 0, 0.0)


def test_no_steps_are_a_budget_too() -> None:
    plan = replace(toy.plan_of(), budget=Budget(max_steps=0, max_minutes=5.0))
    assert list(toy.train(toy.state_of(), plan)) == []


def test_clipping_shortens_the_gradient_and_reports_the_full_norm() -> None:
    def moved(limit: float) -> tuple[float, float]:
        state = toy.state_of("sgd", momentum=0.0, learning_rate=3.0)
        before = nn.utils.parameters_to_vector(state.model.parameters()).detach().clone()
        step = next(toy.train(state, toy.plan_of(10, max_grad_norm=limit)))
        after = nn.utils.parameters_to_vector(state.model.parameters()).detach()
        return float((after - before).norm()) / step.lr, step.grad_norm

    free, norm = moved(0.0)
    clipped, reported = moved(norm / 4)
    assert free == pytest.approx(norm, rel=1e-4)
    assert clipped == pytest.approx(norm / 4, rel=1e-4)
    assert reported == pytest.approx(norm, rel=1e-6)


def test_averaged_weights_follow_the_formula() -> None:
    state = toy.state_of()
    plan = toy.plan_of(12, ema_decay=0.5)
    expected = {n: p.detach().double() for n, p in state.model.named_parameters()}
    for step in toy.train(state, plan):
        decay = min(0.5, step.index / (9 + step.index))
        for name, parameter in state.model.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * parameter.detach().double()
    assert state.ema is not None
    assert state.ema.keys() == expected.keys()
    for name, value in state.ema.items():
        torch.testing.assert_close(value.double(), expected[name], atol=1e-6, rtol=0)


def test_dropout_of_a_step_depends_on_seed_step_and_rank_alone() -> None:
    def first(seed: int, rank: int, disturb: int) -> float:
        state = toy.state_of(dropout=0.5)
        torch.manual_seed(disturb)
        world = World(rank=rank)
        plan = toy.plan_of(3, seed=seed)
        return next(fit(state, iter([[toy.collate(toy.examples()[:9])]]), plan, world)).loss

    assert first(1, 0, 5) == first(1, 0, 6)
    assert first(1, 0, 5) != first(2, 0, 5)
    assert first(1, 0, 5) != first(1, 1, 5)


def test_fit_puts_the_model_back_into_training_mode() -> None:
    state = toy.state_of(dropout=0.5)
    for _ in toy.train(state, toy.plan_of(3)):
        assert state.model.training
        state.model.eval()


def poisoned(at: int, value: float) -> Iterator[Sequence[Batch]]:
    """Batches whose loss is multiplied by ``value`` from one step on."""
    for index, batch in enumerate(toy.loader_of().batches()):
        factor = torch.full((len(batch[0]),), value if index >= at else 1.0)
        yield [Batch(batch[0].inputs, {**batch[0].targets, "factor": factor})]


def scaled_loss(model: nn.Module, batch: Batch) -> Losses:
    losses = toy.loss(model, batch)
    return Losses(losses.sums * batch.targets["factor"], losses.counts)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_bad_numbers_stop_training_before_the_step(value: float) -> None:
    state = toy.state_of()
    plan = replace(toy.plan_of(20), loss=scaled_loss)
    steps: list[Step] = []
    with pytest.raises(Diverged, match="step 4; this step was not applied") as error:
        steps.extend(fit(state, poisoned(4, value), plan))
    assert "learning_rate" in str(error.value)
    assert state.step == 4
    good = toy.state_of()
    list(toy.train(good, replace(toy.plan_of(4), budget=Budget(max_steps=4))))
    assert all(torch.isfinite(p).all() for p in state.model.parameters())


def test_a_loss_that_jumps_and_stays_up_stops_training() -> None:
    plan = replace(toy.plan_of(60), loss=scaled_loss)
    state = toy.state_of("sgd", learning_rate=1e-4)
    with pytest.raises(Diverged, match="rose at step 30 and stayed up"):
        list(fit(state, poisoned(30, 3.0), plan))
    assert state.step == 49


def test_guard_forgives_a_short_spike_and_survives_a_checkpoint() -> None:
    guard = Guard(patience=5)
    for step, loss in enumerate([1.0] * 10 + [9.0] * 4 + [1.0] + [9.0] * 4):
        guard.check(step, loss, 1.0)
    copy = Guard(patience=5)
    copy.restore(guard.to_dict())
    with pytest.raises(Diverged):
        copy.check(99, 9.0, 1.0)


def test_a_wholly_masked_batch_changes_nothing_and_stops_nothing() -> None:
    batch = toy.collate(toy.examples()[:4])
    masked = Batch(batch.inputs, {"labels": torch.full_like(batch.targets["labels"], -100)})
    state, plain = toy.state_of(), toy.state_of()
    before = [p.detach().clone() for p in state.model.parameters()]
    steps = fit(state, iter([[masked], [batch]]), toy.plan_of())
    idle = next(steps)
    assert (idle.skipped, idle.count, math.isnan(idle.loss)) == (True, 0, True)
    for parameter, old in zip(state.model.parameters(), before, strict=True):
        assert torch.equal(parameter, old)  # weight decay and momentum too stay away
    assert not state.optimizer.state
    taught = next(steps)
    assert taught.index == 2
    assert taught.loss == next(fit(plain, iter([[batch]]), toy.plan_of())).loss


def test_nothing_but_masked_batches_are_an_error() -> None:
    batch = toy.collate(toy.examples()[:4])
    masked = Batch(batch.inputs, {"labels": torch.full_like(batch.targets["labels"], -100)})
    with pytest.raises(DataError, match=r"100 steps in a row have nothing .* label is masked"):
        list(fit(toy.state_of(), repeat([masked]), toy.plan_of(1000)))


def test_frozen_parameters_stay_and_unused_ones_do_no_harm() -> None:
    state = toy.state_of()
    state.model.register_parameter("unused", nn.Parameter(torch.ones(3)))
    state.model.get_submodule("up").requires_grad_(False)
    before = state.model.get_parameter("up.weight").clone()
    trained = [(n, p) for n, p in state.model.named_parameters() if p.requires_grad]
    state.optimizer = torch.optim.AdamW([{"params": trained, "initial_lr": 0.01}])
    list(toy.train(state, toy.plan_of(3)))
    assert torch.equal(before, state.model.get_parameter("up.weight"))
    assert state.model.get_parameter("unused").grad is not None


def test_precision_of_the_loss_sum_does_not_depend_on_the_number_of_examples() -> None:
    """Sums are added in double precision, so a long epoch's loss keeps its digits."""

    def constant(model: nn.Module, batch: Batch) -> Losses:
        ones = sum(p.sum() for p in model.parameters()) * 0
        return Losses(ones + torch.full((len(batch),), 0.1), torch.ones(len(batch)))

    batch = toy.collate(toy.examples()[:10])
    plan: Plan = replace(toy.plan_of(1), loss=constant)
    step = next(fit(toy.state_of(), iter([[batch] * 1000]), plan))
    assert step.loss == pytest.approx(float(np.float32(0.1)), abs=1e-12)
