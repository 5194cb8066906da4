"""What differs between two trees of plain data: recipes, say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Return one line for each value that differs between two plain data trees."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines: list[str] = []
        for key in list(old) + [key for key in new if key not in old]:
            lines += differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        return lines
    same = _listed(old) == _listed(new)
    return [] if same else [f"{path}: {old!r} -> {new!r}"]


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
