"""What decides a result without being in the recipe or its data: weights made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luban.core.component import Component, Settings, digest_of
from luban.core.contracts import Source
from luban.core.errors import LubanError
from luban.core.files import sha256_of
from luban.models._pretrained import locate

_WEIGHTS = ("*.safetensors", "*.json")


def outside_digests(settings: Settings, path: str) -> dict[str, str]:
    """Return the digest of each folder or file that a part of some settings names.

    Args:
        settings: A model or a stage; the components in its fields are looked at too.
        path: Where it stands in a recipe.
    """
    return {f"content of {place}": digest for place, digest in _walk(settings, path)}


def _walk(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Source):
        yield path, digest_of([sha256_of(file) for file in value.files()])
        return
    if isinstance(value, Component):
        for name in value.outside:
            if found := getattr(value, name, None):
                yield f"{path}.{name}", _digest(str(found))
    if isinstance(value, Settings):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(item, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}.{index}")


def _digest(name: str) -> str:
    """Return a digest of a file, or of the weights and settings of a model directory."""
    path = Path(name).expanduser()
    if path.is_file():
        return digest_of(sha256_of(path))
    if not path.exists():
        try:
            path = locate(name)
        except LubanError:  # told where it is read
            return "missing"
    if (path / "model").is_dir():
        path /= "model"
    files = sorted(file for pattern in _WEIGHTS for file in path.glob(pattern))
    return digest_of([(file.name, sha256_of(file)) for file in files])
