"""What a result may depend on beside data and recipe: versions of libraries and the machine."""

from __future__ import annotations

import os

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
        "processor": platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
