"""Say what is installed, what each extra would add and what this machine can do."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

import luban
from luban.cli.console import output
from luban.engine.precision import Precision

#: What an extra is for; the libraries themselves are read from the installed package.
PURPOSE = {
    "data": "Parquet files, near-duplicate removal",
    "hf": "pretrained models by hub name, checks of exports",
    "serve": "the HTTP server",
    "onnx": "export to ONNX",
    "tensorboard": "curves in TensorBoard",
    "mlflow": "curves in MLflow",
    "wandb": "curves in Weights & Biases",
    "text": "scores of translations and summaries",
    "peft": "LoRA and other adapters",
    "vision": "images, and COCO's own precision",
    "audio": "recordings, and word errors",
}


def options(parser: argparse.ArgumentParser) -> None:
    """Add no arguments."""


def perform(args: argparse.Namespace) -> int:
    """Print the findings."""
    found = {"machine": _machine(), "software": _software(), "extras": _extras()}
    if args.json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    console = output()
    for title in ("machine", "software"):
        table = Table(title, "", box=None, pad_edge=False)
        for key, value in found[title].items():
            table.add_row(f"  {key}", str(value))
        console.print(table)
    table = Table("extra", "state", "brings", "add it with", box=None, pad_edge=False)
    for name, extra in found["extras"].items():
        missing = extra["missing"]
        state = f"lacks {', '.join(missing)}" if missing else "installed"
        command = f"pip install 'luban[{name}]'" if missing else ""
        table.add_row(f"  {name}", state, extra["purpose"], command)
    console.print(table)
    return 0


def _machine() -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    compiler = next((c for c in (os.environ.get("CXX", ""), "g++", "clang++") if _found(c)), None)
    return {
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{memory:.1f} GiB",
        "free disk here": f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB",
        "accelerator": torch.cuda.get_device_name() if cuda else "none",
        "precision: auto": Precision.resolve("auto", torch.device("cuda" if cuda else "cpu")).name,
        "torch.compile": f"with {compiler}" if compiler else "not possible: no C++ compiler",
    }


def _software() -> dict[str, str]:
    names = ("torch", "numpy", "tokenizers", "safetensors", "pydantic")
    return {
        "luban": luban.__version__,
        "python": sys.version.split()[0],
        **{name: version(name) for name in names},
        "LUBAN_DATA": os.environ.get("LUBAN_DATA", "not set: catalogue sets are not found locally"),
        "LUBAN_CACHE": os.environ.get("LUBAN_CACHE", "not set: ~/.cache/luban"),
    }


def _extras() -> dict[str, dict[str, Any]]:
    lines = requires("luban") or []
    extras = {}
    for name, purpose in PURPOSE.items():
        mine = [line for line in lines if f"extra == '{name}'" in line.replace('"', "'")]
        libraries = [_distribution(line) for line in mine]
        missing = [library for library in libraries if not _installed(library)]
        extras[name] = {"purpose": purpose, "libraries": libraries, "missing": missing}
    return extras


def _distribution(line: str) -> str:
    end = next((i for i, c in enumerate(line) if not (c.isalnum() or c in "-_.")), len(line))
    return line[:end]


def _installed(distribution: str) -> bool:
    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False


def _found(command: str) -> bool:
    return bool(command) and shutil.which(command) is not None
