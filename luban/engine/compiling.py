"""Whether ``torch.compile`` pays for itself, and doing it.

Compiled and eager code round differently, so a run must not change its mind half-way: decide
once, before the first step, and keep the ``Decision`` in ``RunState``. What compiling saves
cannot be told before: on two cores it was between 23 % and minus 7 % of the time, as shapes and
precision were. So a cautious guess decides whether to try, and ``compare`` whether to stay with it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import nn

from luban.core.batch import Batch
from luban.core.component import digest_of
from luban.core.files import write_atomic
from luban.engine.budget import Budget
from luban.engine.fit import Plan, seed_step
from luban.engine.run_state import Decision

Choice: TypeAlias = Literal["auto", "on", "off"]

#: Share of the eager training time that compiling saves, a cautious guess; and what it costs in
#: seconds with a cold and with a warm cache (22 to 36 cold were measured where nothing else ran).
_GAIN = {"cpu": 0.08, "cuda": 0.30}
_COLD_SECONDS = {"cpu": 45.0, "cuda": 60.0}
_WARM_SECONDS = {"cpu": 6.0, "cuda": 10.0}


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles a module with a cache that outlives the process.

    Attributes:
        cache: Folder of the cache (``LUBAN_CACHE/inductor``).
        key: Digest of what decides the generated code: model, shapes, precision.
        device: Where the module computes.
    """

    cache: Path
    key: str
    device: torch.device

    @property
    def is_warm(self) -> bool:
        """Whether this code was compiled here before."""
        return self._marker.exists()

    def decide(self, choice: Choice, eager_seconds: float) -> Decision:
        """Return whether to try and compile a training that would take ``eager_seconds`` without.

        Processes that train together must pass the same seconds (``World.from_main``).
        """
        if choice == "off":
            return Decision(False, "compile is off")
        if _cpp_compiler() is None:
            return Decision(False, "no C++ compiler (g++ or clang++) was found")
        if choice == "on":
            return Decision(True, "compile is on")
        saved = _GAIN.get(self.device.type, 0.0) * eager_seconds
        costs = _WARM_SECONDS if self.is_warm else _COLD_SECONDS
        cost = costs.get(self.device.type, 0.0)
        state = "warm" if self.is_warm else "cold"
        reason = f"saves about {saved:.0f} s, costs about {cost:.0f} s ({state} cache)"
        return Decision(saved > cost, reason)

    def compile(self, module: nn.Module) -> nn.Module:
        """Return the compiled twin of a module; both have the same weights.

        The code is generated at the first call for each new shape.
        """
        self.cache.mkdir(parents=True, exist_ok=True)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(self.cache)
        return torch.compile(module)  # type: ignore[return-value]

    def remember(self) -> None:
        """Note that the cache now holds the code; call it after the first compiled step."""
        write_atomic(self._marker, "")

    @property
    def _marker(self) -> Path:
        key = digest_of([self.key, str(torch.__version__), self.device.type])
        return self.cache / f"compiled-{key}"


def compare(eager: float, compiled: float) -> Decision:
    """Return whether to go on compiled, now that a step of each was timed, in seconds."""
    return Decision(compiled < eager, f"a step takes {compiled:.3g} s compiled, {eager:.3g} s not")


def time_step(
    model: nn.Module, micro_batches: Sequence[Batch], plan: Plan, repeats: int = 3
) -> float:
    """Return the seconds of the fastest of some trial steps; nothing is trained.

    Gradients are dropped and buffers put back. The optimizer's time is not included. For a
    compiled module, the first call makes the code: its time is not returned.
    """
    model.train()
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    loss = plan.precision.cast(plan.loss)
    seconds = []
    for repeat in range(repeats + 1):  # the first one warms up
        seed_step(plan.seed, repeat, 0)
        start = time.perf_counter()
        for batch in micro_batches:
            losses = plan.mechanism.accumulate(model, batch, loss)
            float(losses.sums.sum())  # waits for the device
        seconds.append(time.perf_counter() - start)
        model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for buffer, saved in buffers:
            buffer.copy_(saved)
    return min(seconds[1:])


def eager_seconds(budget: Budget, step_seconds: float, tokens_per_step: float) -> float:
    """Return about how long a budget takes at some pace."""
    bounds = [
        budget.max_steps and budget.max_steps * step_seconds,
        budget.max_tokens and budget.max_tokens / tokens_per_step * step_seconds,
        budget.max_minutes and budget.max_minutes * 60,
    ]
    return min(bound for bound in bounds if bound)


def _cpp_compiler() -> str | None:
    names = (os.environ.get("CXX"), "g++", "clang++", "c++")
    return next((found for name in names if name and (found := shutil.which(name))), None)
