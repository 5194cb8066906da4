"""A recipe as the flat table that viewers show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return ``{"model.hidden_size": "128", …}`` for a nested mapping."""
    table: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            table |= flat(value, f"{prefix}{key}.")
        else:
            table[f"{prefix}{key}"] = str(value)
    return table
