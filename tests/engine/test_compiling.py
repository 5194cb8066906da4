"""Compiling: decided by arithmetic, remembered, exact enough."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from luban.engine import compiling
from luban.engine.budget import Budget
from luban.engine.compiling import Compiler, compare, eager_seconds, time_step
from luban.engine.run_state import Decision
from tests.engine import toy

CPU = torch.device("cpu")


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    monkeypatch.setattr(compiling, "_cpp_compiler", lambda: "/usr/bin/g++")
    return Compiler(tmp_path / "inductor", "key", CPU)


def test_auto_compiles_long_trainings_only(compiler: Compiler) -> None:
    short, long = compiler.decide("auto", 60.0), compiler.decide("auto", 3600.0)
    assert not short.compile
    assert long.compile
    assert "saves about 5 s, costs about 45 s (cold cache)" in short.reason


def test_a_warm_cache_makes_it_pay_sooner(compiler: Compiler) -> None:
    assert not compiler.decide("auto", 120.0).compile
    compiler.remember()
    warm = compiler.decide("auto", 120.0)
    assert warm.compile
    assert "warm cache" in warm.reason
    other = Compiler(compiler.cache, "another model", CPU)
    assert not other.is_warm


def test_what_is_not_faster_is_not_kept() -> None:
    assert compare(0.4, 0.3) == Decision(True, "a step takes 0.3 s compiled, 0.4 s not")
    assert not compare(0.3, 0.4).compile
    assert not compare(0.3, 0.3).compile


def test_on_and_off_are_obeyed(compiler: Compiler) -> None:
    assert compiler.decide("on", 0.1).compile
    assert not compiler.decide("off", 1e9).compile


@pytest.mark.parametrize("choice", ["auto", "on"])
def test_without_a_cpp_compiler_it_says_so(
    choice: compiling.Choice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luban.engine.compiling.shutil.which", lambda name: None)
    decision = Compiler(tmp_path, "key", CPU).decide(choice, 1e9)
    assert decision == Decision(False, "no C++ compiler (g++ or clang++) was found")


def test_eager_seconds_takes_the_tightest_bound() -> None:
    assert eager_seconds(Budget(max_steps=100), 0.5, 10) == 50
    assert eager_seconds(Budget(max_steps=100, max_tokens=200), 0.5, 10) == 10
    assert eager_seconds(Budget(max_steps=10**6, max_minutes=2), 0.5, 10) == 120


def test_a_trial_step_changes_nothing() -> None:
    state = toy.state_of(dropout=0.1)
    state.model.register_buffer("calls", torch.zeros(1))
    state.model.register_forward_hook(
        lambda module, *_: module.get_buffer("calls").add_(1) and None
    )
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    seconds = time_step(state.model, toy.loader_of().step(0), toy.plan_of())
    assert 0 < seconds < 60
    assert all(torch.equal(before[n], t) for n, t in state.model.state_dict().items())
    assert all(parameter.grad is None for parameter in state.model.parameters())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch's own compiler
def test_compiled_training_gives_the_eager_curve(tmp_path: Path) -> None:
    """Starts the C++ compiler, which takes most of a minute."""
    compiler = Compiler(tmp_path, "toy", CPU)
    eager, compiled = toy.state_of(), toy.state_of()
    compiled.forward = compiler.compile(compiled.model)
    ours = [step.loss for step in toy.train(eager, toy.plan_of(8))]
    theirs = [step.loss for step in toy.train(compiled, toy.plan_of(8))]
    assert theirs == pytest.approx(ours, abs=1e-5)
    assert any(tmp_path.rglob("*.so")), "the cache is where it was asked to be"
