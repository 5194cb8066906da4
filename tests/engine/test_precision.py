"""Which numbers products are computed in."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from luban.core import registry
from luban.core.errors import CapacityError
from luban.engine import precision
from luban.engine.fit import State, fit
from luban.engine.precision import Choice, Precision
from tests.engine import toy

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(("gain", "name"), [(4.2, "bf16"), (0.6, "fp32"), (0.02, "fp32")])
def test_auto_on_a_cpu_is_what_was_measured_to_be_fast(
    gain: float, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_gain_of_bf16", lambda: gain)
    assert Precision.resolve("auto", CPU) == Precision(name, "cpu")
    assert "faster here" not in Precision.resolve("auto", CPU).told("auto")
    other: Choice = "fp32" if name == "bf16" else "bf16"
    assert f"{name} would be faster here" in Precision.resolve(other, CPU).told(other)


def test_a_processor_without_the_instructions_computes_in_fp32() -> None:
    """Torch and its library are told to use AVX2 alone: there bf16 takes fifty times as long."""
    program = (
        "import torch\nfrom luban.engine.precision import Precision\n"
        "print(Precision.resolve('auto', torch.device('cpu')).name)"
    )
    avx2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **avx2},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "fp32"


def test_measuring_leaves_the_threads_as_they_were() -> None:
    threads = torch.get_num_threads()
    assert precision.cpu_gain_of_bf16.__wrapped__() > 0
    assert torch.get_num_threads() == threads


class Narrow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the products of matrices that are computed in bf16."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        product = any(word in str(func) for word in ("mm", "linear", "matmul", "bmm"))
        if product and any(getattr(a, "dtype", None) == torch.bfloat16 for a in args):
            self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", registry.names("optimizers"))
def test_no_optimizer_multiplies_in_bf16_unless_the_run_does(name: str) -> None:
    state = toy.state_of(name)
    with Narrow() as narrow:
        list(toy.train(state, toy.plan_of(2)))
    assert narrow.count == 0
    with Narrow() as narrow:
        list(toy.train(state, toy.plan_of(4, precision=Precision("bf16"))))
    assert narrow.count > 0


@pytest.mark.parametrize(("capability", "name"), [((8, 0), "bf16"), ((7, 5), "fp16")])
def test_auto_on_a_gpu_asks_its_capability(
    capability: tuple[int, int], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert Precision.resolve("auto", CUDA) == Precision(name, "cuda")


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(CapacityError, match="needs a GPU"):
        Precision.resolve("fp16", CPU)


def test_bf16_trains_near_fp32_and_keeps_weights_in_fp32() -> None:
    full = [s.loss for s in toy.train(toy.state_of(), toy.plan_of(10))]
    state = toy.state_of()
    half = [s.loss for s in toy.train(state, toy.plan_of(10, precision=Precision("bf16")))]
    assert half == pytest.approx(full, rel=0.02)
    assert half != full
    assert all(p.dtype == torch.float32 for p in state.model.parameters())


class Scaler:
    """A gradient scaler that overflows when told to; torch's own does nothing on a CPU."""

    def __init__(self, overflow_at: int) -> None:
        self.calls, self.overflow_at, self.scale_by, self.skipped = 0, overflow_at, 1024.0, 0

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        bad = float("inf") if self.calls == self.overflow_at else 1.0
        return loss * self.scale_by * bad

    def get_scale(self) -> float:
        return self.scale_by

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad.div_(self.scale_by)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
        if all(bool(torch.isfinite(grad).all()) for grad in grads):
            optimizer.step()
        else:
            self.skipped += 1

    def update(self) -> None:
        self.scale_by /= 2


def scaled(state: State, overflow_at: int = 0) -> State:
    state.scaler = Scaler(overflow_at)  # type: ignore[assignment]
    return state


def test_scaling_changes_no_number() -> None:
    plain = list(toy.train(toy.state_of(), toy.plan_of(6)))
    with_scale = list(toy.train(scaled(toy.state_of()), toy.plan_of(6)))
    for a, b in zip(plain, with_scale, strict=True):
        assert b.loss == pytest.approx(a.loss, abs=1e-5)
        assert b.grad_norm == pytest.approx(a.grad_norm, rel=1e-4)


def test_an_overflow_skips_the_step_and_training_goes_on() -> None:
    state = scaled(toy.state_of(), overflow_at=3)
    steps = list(fit(state, toy.loader_of().batches(), toy.plan_of(5)))
    assert [step.skipped for step in steps] == [False, False, True, False, False]
    assert all(torch.isfinite(p).all() for p in state.model.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_fp16_on_a_gpu_has_a_scaler() -> None:
    assert Precision("fp16", "cuda").scaler() is not None
