"""Shaping records: fields by dotted path, renamed, joined, or poured into a template."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from luban.core.contracts import Record
from luban.core.errors import DataError
from luban.core.registry import nearest
from luban.data.media.media_files import content_of, holds_media, media_size

#: A field to what stands for each of its values, written as text.
Values: TypeAlias = Mapping[str, Mapping[str, Any]]
#: Our name of a field to the path of theirs, a template, or several fields that are yes or no.
Fields: TypeAlias = Mapping[str, str | Sequence[str]]
#: What says yes or no in a column, written as text.
YES, NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "-1", "-1.0", "false", "no", "none", "")

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


def shape(  # noqa: PLR0913
    record: Record,
    fields: Fields,
    template: str = "",
    join: str = "\n",
    values: Values | None = None,
    *,
    others: bool = True,
) -> Record:
    """Return the record with renamed fields and, if there is a template, its ``text``.

    Args:
        record: The row, with ``_where``.
        fields: New name to the dotted path of the value, or to a template with ``{path}`` holes, or
            to several fields: the value is a list of those that hold.
        template: Text with ``{field}`` holes (``{{`` and ``}}`` stand for braces). A line that
            holds nothing but holes is left out if they are all empty.
        join: What joins a list of texts into one, in templates.
        values: What the values of a field are replaced by.
        others: Whether fields that are not named stay.

    Raises:
        DataError: if a field is missing, a value has no replacement, or is neither yes nor no.
    """
    renamed = {ours: _taken(record, theirs, join) for ours, theirs in fields.items()}
    shaped = {**record, **renamed}
    if template:
        shaped["text"] = renamed["text"] = _filled(template, shaped, join)
    for name, table in (values or {}).items():
        shaped[name] = renamed[name] = _replaced(shaped, name, table)
    return shaped if others else {**renamed, "_where": record.get("_where", "")}


def text_of(record: Record) -> str:
    """Return what a record says: its ``text``, else its ``tokens``, else all its strings.

    All strings are those of its own fields but ``id``, in lists and tables too, one a line.
    """
    text, tokens = record.get("text"), record.get("tokens")
    if isinstance(text, str):
        return text
    if isinstance(tokens, list | tuple):
        return " ".join(map(str, tokens))
    return "\n".join(
        string
        for name, value in sorted(own_fields(record).items())
        if name != "id"
        for string in _strings(value)
    )


def size_of(record: Record) -> tuple[int, int]:
    """Return how many characters, and items of lists, a record holds, and bytes of files."""
    characters = size = 0
    for value in own_fields(record).values():
        if holds_media(value):
            size += media_size(value)
        elif isinstance(value, str | list):
            characters += len(value)
    return characters, size


def identity_of(record: Record) -> str:
    """Return what makes a record the same as another: its files, what it says, or all it holds."""
    own = {name: value for name, value in own_fields(record).items() if name != "id"}
    if files := [value for _, value in sorted(own.items()) if holds_media(value)]:
        return json.dumps(files, default=content_of)
    return text_of(record) or json.dumps(own, sort_keys=True, ensure_ascii=False, default=str)


def parts_of(record: Record) -> dict[str, str]:
    """Return the strings of which a record is made, if it is made of several: not if of a text."""
    if isinstance(record.get("text"), str) or "tokens" in record:
        return {}
    if any(holds_media(value) for value in record.values()):
        return {}
    fields = own_fields(record).items()
    return {name: value for name, value in fields if name != "id" and isinstance(value, str)}


def unusable(record: Record, field: str, form: str, *, also: str = "") -> DataError:
    """Return the error for a record whose field is absent, or is not what a task needs.

    Args:
        record: The row, with ``_where``.
        field: Our name of the field.
        form: What the field must be: ``that is a string``, say.
        also: What else would help where the field is absent.
    """
    found = record.get(field)
    name = f"name the field with data.source.fields: {{{field}: YOURS}}{also}."
    return DataError(
        f"the record has no {field}.",
        where=record.get("_where", ""),
        expected=f"a field {field!r}{'' if form.startswith(',') else ' '}{form}",
        got=f"fields: {', '.join(own_fields(record))}" if found is None else found,
        fix=name if found is None else "mend or drop this row.",
    )


def own_fields(record: Record) -> dict[str, Any]:
    """Return the data's own fields, without those that start with ``_``."""
    return {key: value for key, value in record.items() if not key.startswith("_")}


def opened(record: Record) -> Record:
    """Return the record with tables opened: ``{"a": {"b": 1}}`` is ``{"a.b": 1}``."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping) and not name.startswith("_"):
            found |= {f"{name}.{key}": item for key, item in opened(dict(value)).items()}
        else:
            found[name] = value
    return found


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for _, item in sorted(value.items()):
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _taken(record: Record, path: str | Sequence[str], join: str) -> Any:
    if not isinstance(path, str):
        return [name for name in path if _holds(record, name)]
    is_template = "{" in path and path not in record
    return _filled(path, record, join) if is_template else value_at(record, path)


def _holds(record: Record, path: str) -> bool:
    value = value_at(record, path)
    text = str(value).strip().lower()
    if text in YES or text in NO:
        return text in YES
    raise DataError(
        f"the field {path!r} says neither yes nor no.",
        where=record.get("_where", ""),
        expected="1 or 0, true or false, yes or no",
        got=value,
    )


def _filled(template: str, record: Record, join: str) -> str:
    lines = []
    for line in template.split("\n"):
        filled = _HOLE.sub(lambda hole: _fill(hole, record, join), line)
        if filled.strip() or not line.strip():
            lines.append(filled)
    return "\n".join(lines)


def _fill(hole: re.Match[str], record: Record, join: str) -> str:
    if hole[1] is None:
        return hole[0][0]
    value = value_at(record, hole[1])
    if value is None:
        return ""
    return join.join(map(str, value)) if isinstance(value, list) else str(value)


def _replaced(record: Record, name: str, table: Mapping[str, Any]) -> Any:
    value = value_at(record, name)
    if isinstance(value, list):
        return [_replaced({**record, name: item}, name, table) for item in value]
    if str(value) not in table:
        raise DataError(
            f"the field {name!r} has a value that `values` does not name.",
            where=record.get("_where", ""),
            expected=f"one of {', '.join(table)}",
            got=value,
            fix=nearest(str(value), list(table)),
        )
    return table[str(value)]


def _no_field(record: Record, path: str, step: str, value: Any) -> DataError:
    known = [str(k) for k in (own_fields(value) if isinstance(value, Mapping) else ())]
    return DataError(
        f"there is no field {path!r}.",
        where=record.get("_where", ""),
        expected=f"one of {', '.join(known)}" if known else "a table that holds it",
        got=None if known else value,
        fix=nearest(step, known),
    )
