"""How large a model is, before any memory is taken for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from luban.core.contracts import Model, Signature
from luban.core.errors import CapacityError, LubanError, RecipeError

_LAYERS = 100_000  #: modules within modules; the largest networks have some thousands
_MEMORY = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def build(model: Model, signature: Signature) -> nn.Module:
    """Return the fresh module of a model, once it is known to fit in memory.

    It is built without memory first (on the device ``meta``) and its numbers are counted, so that
    a recipe that asks for too much is refused before the machine is brought to a halt.

    Raises:
        CapacityError: if parameters and buffers would not fit in memory.
        RecipeError: if the model cannot be built for the task, or has too many layers.
    """
    _count(model, signature)
    try:
        return model.build(signature)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, LubanError) or not _is_allocation(error):
            raise
        raise _too_large(f"more: {error}".partition("\n")[0]) from None


def free_memory() -> int:
    """Return the bytes of memory that can be had now: of this machine and of this control group."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    for line in _MEMORY.read_text().splitlines() if _MEMORY.is_file() else ():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    try:
        limit = (_GROUP / "memory.max").read_text().strip()
        used = int((_GROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return min(free, int(limit) - used) if limit.isdigit() and int(limit) > used else free


def _count(model: Model, signature: Signature) -> None:
    """Build a model without memory, and stop as soon as it has too many numbers or layers.

    Raises:
        CapacityError: if it would not fit in memory.
        RecipeError: if it has too many layers.
    """
    most = free_memory()
    total, layers = 0, 0

    def tensor(_module: nn.Module, _name: str, value: Any) -> None:
        nonlocal total
        if isinstance(value, Tensor):
            total += value.nbytes
        if total > most:
            raise _too_large(f"{total / 2**30:,.1f} GiB and more")

    def layer(_module: nn.Module, name: str, _value: Any) -> None:
        nonlocal layers
        layers += 1
        if layers > _LAYERS:
            raise RecipeError(
                "the model has too many layers.",
                where="model",
                expected=f"at most {_LAYERS:,}, counting those within others",
            )

    hooks = [
        register_module_parameter_registration_hook(tensor),
        register_module_buffer_registration_hook(tensor),
        register_module_module_registration_hook(layer),
    ]
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model.build(signature)
    except (NotImplementedError, RuntimeError, OverflowError, MemoryError, TypeError) as error:
        if isinstance(error, LubanError):
            raise
        # A number that no tensor has so many of; or what a plug-in computes while it is built.
        if isinstance(error, OverflowError | MemoryError) or _is_allocation(error):
            raise _too_large(str(error).partition("\n")[0]) from None
    finally:
        for hook in hooks:
            hook.remove()


def _is_allocation(error: Exception) -> bool:
    told = str(error)
    signs = (
        "can't allocate memory",
        "not enough memory",
        "invalid size",
        "Storage size",
        "overflow",
    )
    return isinstance(error, MemoryError) or any(sign in told for sign in signs)


def _too_large(got: str) -> CapacityError:
    return CapacityError(
        "the model would not fit in memory.",
        where="model",
        expected=f"at most {free_memory() / 2**30:.1f} GiB of parameters",
        got=got,
        fix="make the model, its vocabulary or its context smaller.",
    )
