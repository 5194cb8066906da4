"""Fields of unknown records that hold tokens, tags, questions or contexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def field_fitting(rows: Sequence[Mapping[str, Any]], names: Sequence[str], fits: Any) -> str | None:
    """Return the field of a usual name whose value fits in every row."""
    known = {name.lower(): name for name in rows[0]}
    for name in names:
        field = known.get(name)
        if field is not None and all(field in row and fits(row[field]) for row in rows):
            return field
    return None
