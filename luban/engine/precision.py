"""Which numbers to compute with on this machine: the one place that decides it.

Products of the forward and the backward pass follow it by autocast; an optimizer that multiplies
matrices itself finds it in its groups, as ``precision``. Measuring after training (``evaluate``,
``verify``, ``generate``, ``serve``) is always in fp32, so that a claim is the same everywhere.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, TypeAlias

import torch

from luban.core.batch import Batch, Losses, LossFn
from luban.core.errors import CapacityError
from luban.engine.world import World

Choice: TypeAlias = Literal["auto", "fp32", "bf16", "fp16"]

_NAMES = ("fp32", "bf16", "fp16")
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_SIZE = 256  #: rows of the square matrices that are multiplied to see what is fast
_ROUNDS = 7
#: How much faster than fp32 bf16 must be. One thread reaches 4 to 8 times with AMX; 0.6 with
#: AVX512_BF16 alone, 0.2 with AVX-512 and 0.02 with AVX2 on the same processor: no close call.
_GAIN = 1.25


@dataclass(frozen=True, slots=True)
class Precision:
    """A resolved precision: weights stay in fp32, products use ``name``."""

    name: str = "fp32"
    device: str = "cpu"

    @classmethod
    def resolve(cls, choice: Choice, device: torch.device) -> Precision:
        """Return what ``choice`` means on this device.

        ``auto`` is what is fast here: on a CPU, bf16 where its products were measured to be
        faster than those of fp32; on a GPU, bf16 from CUDA capability 8 on, fp16 with loss
        scaling before; else fp32. Who trains keeps the answer: another machine's may differ.

        Raises:
            CapacityError: for fp16 on a CPU, where it has no fast products and no scaling.
        """
        if choice == "fp16" and device.type == "cpu":
            raise CapacityError(
                "fp16 needs a GPU.", where="precision", fix="use precision: bf16, or auto."
            )
        return cls(_fastest(device) if choice == "auto" else choice, device.type)

    def told(self, choice: Choice) -> str:
        """Return the name, and what would be faster here if the recipe asks for another."""
        fastest = _fastest(torch.device(self.device))
        if choice == "auto" or fastest == self.name:
            return self.name
        return f"{self.name} (as asked for; {fastest} would be faster here)"

    def shared(self, world: World) -> Precision:
        """Return what the main process of a training has: each measured for itself."""
        name = _NAMES[int(world.from_main(_NAMES.index(self.name)))]
        return replace(self, name=name)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context for the forward pass."""
        if self.name == "fp32":
            return nullcontext()
        return torch.autocast(self.device, dtype=_DTYPES[self.name])

    def scaler(self) -> torch.amp.GradScaler | None:
        """Return a gradient scaler where the format needs one (fp16)."""
        return torch.amp.GradScaler(self.device) if self.name == "fp16" else None

    def cast(self, loss: LossFn) -> LossFn:
        """Return the loss computed under autocast; the backward pass stays outside it."""
        if self.name == "fp32":
            return loss

        def under_autocast(model: torch.nn.Module, batch: Batch) -> Losses:
            with self.autocast():
                return loss(model, batch)

        return under_autocast


def _fastest(device: torch.device) -> str:
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    return "bf16" if device.type == "cpu" and cpu_gain_of_bf16() >= _GAIN else "fp32"


@cache
def cpu_gain_of_bf16() -> float:
    """Return how many times faster than fp32 this processor multiplies in bf16, on one thread.

    Measured, in milliseconds, because flags do not tell: there are instructions that torch's
    library does not use, and some that are slower than those for fp32. The best of some rounds is
    taken, of one thread, which other programs on the machine disturb least.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        matrix = torch.ones(_SIZE, _SIZE)
        pairs = [(_seconds(matrix), _seconds(matrix.bfloat16())) for _ in range(_ROUNDS)]
    finally:
        torch.set_num_threads(threads)
    wide, narrow = (min(times) for times in zip(*pairs, strict=True))
    return float(wide / narrow)


def _seconds(matrix: torch.Tensor) -> float:
    start = time.perf_counter()
    matrix @ matrix
    return time.perf_counter() - start
