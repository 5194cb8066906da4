"""What training costs: FLOP, the machine's peak, energy."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch

_RAPL = Path("/sys/class/powercap")
#: Watts of one busy CPU core where nothing can be read: the default of Green Algorithms
#: (Lannelongue et al. 2021, doi:10.1002/advs.202100707).
_WATTS_PER_CORE = 12.0


def flops_per_token(parameters: int, layers: int = 0, width: int = 0, context: int = 0) -> float:
    """Return training FLOP per position of a transformer.

    6 per weight that takes part in a product (Kaplan et al. 2020, 2001.08361), and
    12 * layers * width * context for attention (PaLM, 2204.02311, appendix B), which counts
    the masked half too.

    Args:
        parameters: Weights without those that are only looked up.
        layers: Attention layers.
        width: Attention heads times their size.
        context: Positions that attend to each other.
    """
    return 6.0 * parameters + 12.0 * layers * width * context


def machine_name(device: torch.device, precision: str, processes: int) -> str:
    """Return what a peak was measured for: the processor, its threads and the precision."""
    if device.type == "cuda":
        what = torch.cuda.get_device_name(device)
    else:
        what = f"{_processor()}, {torch.get_num_threads()} threads"
    return f"{processes} x {what}, {precision}"


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@cache
def peak_flops(device: torch.device, precision: str) -> float:
    """Return this machine's best measured FLOP/s for a square matrix product.

    Takes about a fifth of a second and is kept for the process. It is what the library
    reaches here and now, with the threads torch may use, not the vendor's figure.
    """
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    size = 1024 if device.type == "cpu" else 8192
    a = torch.randn(size, size, device=device).to(dtype)
    fastest = min(_seconds(a) for _ in range(5))
    return 2.0 * size**3 / fastest


def _seconds(a: torch.Tensor) -> float:
    if a.is_cuda:
        torch.cuda.synchronize(a.device)
    start = time.perf_counter()
    a @ a
    if a.is_cuda:
        torch.cuda.synchronize(a.device)
    return time.perf_counter() - start


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy used, and how the figure was got."""

    joules: float
    method: str


@dataclass(slots=True)
class EnergyMeter:
    """Counts energy from its creation on.

    Where Linux shows the processor's own counters (RAPL), the whole package is measured, other
    programs included. Elsewhere it is an estimate from this process's CPU time.
    """

    _counters: dict[Path, int] = field(init=False)
    _cpu: float = field(init=False)

    def __post_init__(self) -> None:
        self._counters = _read_rapl()
        self._cpu = time.process_time()

    def read(self) -> Energy:
        """Return the energy since the meter was made; a GPU's is not in it, and it says so."""
        gpu = "; the GPU's energy is not included" if torch.cuda.is_available() else ""
        now = _read_rapl()
        if self._counters and now.keys() == self._counters.keys():
            joules = sum(_difference(zone, self._counters[zone], now[zone]) for zone in now) / 1e6
            return Energy(joules, "measured: RAPL counters of the processor packages" + gpu)
        joules = (time.process_time() - self._cpu) * _WATTS_PER_CORE
        method = f"estimated: {_WATTS_PER_CORE:g} W per busy core-second, no counter readable"
        return Energy(joules, method + gpu)


def _read_rapl() -> dict[Path, int]:
    """Return the microjoule counter of every package that may be read."""
    counters = {}
    for zone in sorted(_RAPL.glob("intel-rapl:[0-9]*")):
        if zone.name.count(":") == 1:  # packages, not their parts
            try:
                counters[zone] = int((zone / "energy_uj").read_text())
            except (OSError, ValueError):
                continue
    return counters


def _difference(zone: Path, before: int, after: int) -> int:
    """Return the counter's advance; it wraps around at ``max_energy_range_uj``."""
    if after >= before:
        return after - before
    return after - before + int((zone / "max_energy_range_uj").read_text())
