"""Entities in a text, in the forms that tools and public sets write them, in one form.

The one form is a list of ``{start, end, type}`` in characters, the end not included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_STARTS = ("start", "start_position", "start_offset", "begin", "start_idx")
_ENDS = ("end", "end_position", "end_offset", "end_idx")
_TYPES = ("type", "label", "entity_type", "labels", "entity", "tag", "entity_group")


def entities_in(value: Any, text: str) -> list[dict[str, Any]] | None:
    """Return the entities of a text in the one form; None if they are written in none known.

    Known are tables with a start, an end and a type under the names that public sets use; lists
    ``[start, end, type]`` (doccano, spaCy); and tables from type to what stands there to its places
    (CLUENER), whose last character may be included in them: what stands there tells.

    Args:
        value: The field.
        text: What it tells of.
    """
    if isinstance(value, Mapping):
        return _by_type(value, text)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    found = [_entity(item) for item in value]
    return None if None in found else [item for item in found if item]


def _entity(item: Any) -> dict[str, Any] | None:
    if isinstance(item, Mapping):
        start, end, kind = (_first(item, names) for names in (_STARTS, _ENDS, _TYPES))
        kind = kind[0] if isinstance(kind, list) and len(kind) == 1 else kind
    elif isinstance(item, Sequence) and not isinstance(item, str) and len(item) == 3:
        start, end, kind = item
    else:
        return None
    if type(start) is not int or type(end) is not int or not (isinstance(kind, str) and kind):
        return None
    return {"start": start, "end": end, "type": kind}


def _by_type(table: Mapping[str, Any], text: str) -> list[dict[str, Any]] | None:
    found = []
    for kind, names in table.items():
        if not isinstance(names, Mapping):
            return None
        for name, places in names.items():
            for place in places if isinstance(places, Sequence) else [None]:
                if not (isinstance(place, Sequence) and len(place) == 2):
                    return None
                start, last = place
                if type(start) is not int or type(last) is not int:
                    return None
                ends = [end for end in (last, last + 1) if text[start:end] == name]
                if not ends:
                    return None
                found.append({"start": start, "end": ends[0], "type": kind})
    return found


def _first(item: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((item[name] for name in names if name in item), None)
