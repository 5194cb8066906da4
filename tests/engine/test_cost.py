"""FLOP, peak and energy."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from luban.engine import cost
from luban.engine.cost import EnergyMeter, flops_per_token, peak_flops

CPU = torch.device("cpu")


def test_flops_equal_what_torch_counts_for_a_transformer_block() -> None:
    """Forward and backward of four projections, attention and an MLP, counted by torch."""
    batch, context, width = 2, 16, 32
    weights = [torch.randn(width, width, requires_grad=True) for _ in range(4)]
    up = torch.randn(width, 4 * width, requires_grad=True)
    down = torch.randn(4 * width, width, requires_grad=True)
    x = torch.randn(batch, context, width, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        q, k, v = (x @ w for w in weights[:3])
        y = torch.softmax(q @ k.mT, -1) @ v @ weights[3]
        ((torch.relu(y @ up)) @ down).sum().backward()  # type: ignore[no-untyped-call]
    parameters = sum(w.numel() for w in (*weights, up, down))
    expected = batch * context * flops_per_token(parameters, 1, width, context)
    assert counter.get_total_flops() == expected


def test_peak_is_what_a_product_reaches() -> None:
    peak_flops.cache_clear()
    peak = peak_flops(CPU, "fp32")
    a = torch.randn(512, 512)
    start = time.perf_counter()
    a @ a
    assert 2 * 512**3 / (time.perf_counter() - start) < 4 * peak
    assert 1e8 < peak < 1e14
    assert peak_flops(CPU, "fp32") == peak, "measured once"


def test_energy_is_estimated_from_cpu_time_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "_RAPL", Path("/nowhere"))
    monkeypatch.setattr("luban.engine.cost.time.process_time", iter([10.0, 13.0]).__next__)
    energy = EnergyMeter().read()
    assert energy.joules == 36.0
    assert energy.method.startswith("estimated: 12 W per busy core-second")


def test_energy_is_measured_where_counters_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "_RAPL", tmp_path)
    for name, value in (("intel-rapl:0", 5_000_000), ("intel-rapl:0:0", 1), ("intel-rapl:1", 900)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("1000\n")
    meter = EnergyMeter()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("9000000\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("100\n")  # wrapped around
    energy = meter.read()
    assert energy.joules == pytest.approx((4_000_000 + 200) / 1e6)
    assert energy.method.startswith("measured: RAPL")
