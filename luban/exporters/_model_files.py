"""What of a run's ``model/`` goes into an export: its own files, no links out of it, no code.

A run may come from a stranger. Whoever loads an export, though, trusts the one who made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luban.core.errors import RunError
from luban.core.yaml_json import json_of

#: Keys by which a configuration names code of its own, or a program on the Hugging Face hub.
_CODE = ("auto_map", "custom_pipelines", "custom_generate", "kernel_config")
_HUB = "attn_implementation"  # the name of an attention with a "/" in it is one on the hub
#: What Luban never writes into ``model/``, and what programs may run when they open it.
_PROGRAMS = (
    ".py", ".pyc", ".so", ".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".msgpack",
    ".h5",
)  # fmt: skip


def refuse_strange(folder: Path) -> None:
    """Refuse a ``model/`` that leads out of itself, or that brings code along.

    Raises:
        RunError: naming the first link, program or key of a configuration.
    """
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise RunError(
                "a link leads out of the directory of the model.",
                where=path,
                got=path.readlink(),
                fix="put a copy of the file there if you trust it, or remove the link.",
            )
        if path.suffix.lower() in _PROGRAMS:
            raise _code(path, f"{path.name}, which programs may run when they open it")
        if path.suffix == ".json" and path.parent == folder and path.is_file():
            for key in _keys_of_code(_read(path)):
                raise _code(path, f"the key {key!r}")


def _read(path: Path) -> Any:
    try:
        return json_of(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError("this file of the run is damaged.", where=path, got=str(error)) from None


def _code(path: Path, got: str) -> RunError:
    return RunError(
        "the directory of the model brings code along, which is never run and never passed on.",
        where=path,
        got=got,
        fix="get the run from one you trust; luban verify names what its stages did not write.",
    )


def _keys_of_code(config: Any) -> Iterator[str]:
    """Yield each key that names code, of a configuration and of those in it."""
    for key, value in config.items() if isinstance(config, dict) else ():
        if key in _CODE or (_HUB in key and "/" in str(value)):
            yield key
        elif key.endswith("_config"):
            yield from _keys_of_code(value)
