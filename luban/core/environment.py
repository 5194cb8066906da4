"""What a result may depend on beside data and recipe: versions of libraries and the machine."""

from __future__ import annotations

import os
from pathlib import Path

import luban


def environment() -> dict[str, str]:
    """Return what a result may depend on beside data and recipe: versions and the machine."""
    import platform
    from importlib.metadata import version

    import torch

    libraries = ("torch", "numpy", "tokenizers", "safetensors", "pydantic")
    return {
        "luban": luban.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in libraries},
        "system": platform.platform(),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": str(os.cpu_count()),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def _processor() -> str:
    """Return the name of the processor's model, or at least its architecture."""
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
