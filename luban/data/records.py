"""Shaping records: fields by dotted path, renamed, joined, or poured into a template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from luban.core.contracts import Record
from luban.core.errors import DataError
from luban.core.registry import nearest

_HOLE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")


def value_at(record: Record, path: str) -> Any:
    """Return what a dotted path leads to: ``a.b`` is ``record["a"]["b"]``, ``a.0`` an item.

    Raises:
        DataError: if a step is missing; it names the row and what is there instead.
    """
    value: Any = record
    if path in record:
        return record[path]
    for step in path.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            raise _no_field(record, path, step, value)
    return value


def shape(record: Record, fields: Mapping[str, str], template: str, join: str) -> Record:
    """Return the record with renamed fields and, if there is a template, its ``text``.

    Args:
        record: The row, with ``_where``.
        fields: New name to the dotted path of the value; the other fields stay.
        template: Text with ``{field}`` holes (``{{`` and ``}}`` stand for braces).
        join: What joins a list of texts into one.

    Raises:
        DataError: if a field is missing.
    """
    shaped = {**record, **{ours: value_at(record, theirs) for ours, theirs in fields.items()}}
    for ours in fields:
        if isinstance(shaped[ours], list) and all(isinstance(x, str) for x in shaped[ours]):
            shaped[ours] = join.join(shaped[ours])
    if template:
        shaped["text"] = _HOLE.sub(lambda hole: _fill(hole, shaped, join), template)
    return shaped


def text_of(record: Record) -> str:
    """Return all the text of a record: its ``text``, else its own string fields, joined."""
    text = record.get("text")
    if isinstance(text, str):
        return text
    return "\n".join(
        value for key, value in sorted(own_fields(record).items()) if isinstance(value, str)
    )


def own_fields(record: Record) -> dict[str, Any]:
    """Return the data's own fields, without those that start with ``_``."""
    return {key: value for key, value in record.items() if not key.startswith("_")}


def _fill(hole: re.Match[str], record: Record, join: str) -> str:
    if hole[1] is None:
        return hole[0][0]
    value = value_at(record, hole[1])
    return join.join(map(str, value)) if isinstance(value, list) else str(value)


def _no_field(record: Record, path: str, step: str, value: Any) -> DataError:
    known = [str(k) for k in (own_fields(value) if isinstance(value, Mapping) else ())]
    return DataError(
        f"there is no field {path!r}.",
        where=record.get("_where", ""),
        expected=f"one of {', '.join(known)}" if known else "a table that holds it",
        got=None if known else value,
        fix=nearest(step, known),
    )
