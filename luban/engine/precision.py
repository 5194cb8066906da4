"""Which numbers to compute with on this machine."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from luban.core.batch import Batch, Losses, LossFn
from luban.core.errors import CapacityError

Choice: TypeAlias = Literal["auto", "fp32", "bf16", "fp16"]

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Precision:
    """A resolved precision: weights stay in fp32, products use ``name``."""

    name: str = "fp32"
    device: str = "cpu"

    @classmethod
    def resolve(cls, choice: Choice, device: torch.device) -> Precision:
        """Return what ``choice`` means on this device.

        ``auto`` is bf16 where the processor has instructions for it (AVX512_BF16 or AMX, CUDA
        capability 8), fp16 with loss scaling on older GPUs, else fp32.

        Raises:
            CapacityError: for fp16 on a CPU, where it has no fast products and no scaling.
        """
        if choice == "fp16" and device.type == "cpu":
            raise CapacityError(
                "fp16 needs a GPU.", where="precision", fix="use precision: bf16, or auto."
            )
        return cls(_fastest(device) if choice == "auto" else choice, device.type)

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
    if device.type == "cpu":
        return "bf16" if cpu_has_bf16() else "fp32"
    return "fp32"


def cpu_has_bf16() -> bool:
    """Return whether this processor multiplies bf16 matrices in hardware."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
