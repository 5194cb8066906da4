"""Tags and entities: BIO, IOB1, BIOES and its spellings, and which sequences are valid.

An entity is (type, start, end) with places [start, end). A tag is ``O`` or a prefix, a sign and a
type: ``B-person``. Prefixes of all schemes are read as four: B begins, I goes on, E ends, S
stands alone (BMES writes M for I; BILOU writes L for E and U for S).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np

Entity: TypeAlias = tuple[str, int, int]
Scheme: TypeAlias = Literal["bio", "iob1", "bioes"]

OUTSIDE = "O"
SCHEMES: tuple[Scheme, ...] = ("bio", "iob1", "bioes")
_READ = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "W": "S"}


def parsed(tag: str) -> tuple[str, str]:
    """Return (prefix, type) of a tag; ``O`` has no type.

    Raises:
        ValueError: if it is none.
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if len(tag) > 2 and tag[0] in _READ and tag[1] in "-_":
        return _READ[tag[0]], tag[2:]
    raise ValueError(f"{tag!r} is no tag: expected O, or B-TYPE, I-TYPE (M, E, L, S, U)")


def entities_of(tags: Sequence[str], scheme: Scheme) -> list[Entity]:
    """Return the entities that any sequence of tags spells, valid or not.

    What does not begin or end as the scheme says is no entity, as in seqeval's strict mode: in BIO
    an I without a B before it, in BIOES a B whose E is missing. Precision and recall of a model
    are counted so.

    Raises:
        ValueError: if a tag is none.
    """
    return [found for found, whole in _runs([parsed(tag) for tag in tags], scheme) if whole]


def mended(tags: Sequence[str]) -> list[Entity]:
    """Return the entities of tags that may break their scheme.

    What goes on from nothing begins there, and what never ends ends where it stops, as conlleval
    reads them. Valid tags of any scheme give the entities they spell.

    Raises:
        ValueError: if a tag is none.
    """
    found: list[Entity] = []
    before = (OUTSIDE, "")
    for place, tag in enumerate(map(parsed, tags)):
        if _goes_on(before, tag):
            found[-1] = (tag[1], found[-1][1], place + 1)
        elif tag[0] != OUTSIDE:
            found.append((tag[1], place, place + 1))
            tag = ("B" if tag[0] == "I" else tag[0], tag[1])
        before = tag
    return found


def tags_of(entities: Sequence[Entity], length: int, scheme: Scheme) -> list[str]:
    """Return the tags of entities that do not overlap."""
    tags = [OUTSIDE] * length
    for kind, start, end in sorted(entities, key=lambda entity: entity[1]):
        first = "B"
        if scheme == "iob1" and (start == 0 or tags[start - 1][2:] != kind):
            first = "I"
        tags[start:end] = [f"{first}-{kind}", *[f"I-{kind}"] * (end - start - 1)]
        if scheme == "bioes":
            tags[end - 1] = f"E-{kind}" if end - start > 1 else f"S-{kind}"
    return tags


def fault(tags: Sequence[str], scheme: Scheme) -> tuple[int, str] | None:
    """Return the first place where tags are not valid, and why; None if they are."""
    read: list[tuple[str, str]] = []
    for place, tag in enumerate(tags):
        try:
            read.append(parsed(tag))
        except ValueError as error:
            return place, str(error)
        if read[-1][0] not in _PREFIXES[scheme]:
            return place, f"{tag!r} does not exist in {scheme.upper()}"
    sides = [(OUTSIDE, ""), *read, (OUTSIDE, "")]
    for place, (before, after) in enumerate(pairwise(sides)):
        if not follows(before, after, scheme):
            shown = [tags[i] for i in (place - 1, place) if 0 <= i < len(tags)]
            ends = " at the start" if place == 0 else " at the end" if place == len(tags) else ""
            return min(place, len(tags) - 1), f"{' '.join(shown)!r} is no {scheme.upper()}{ends}"
    return None


def follows(before: tuple[str, str], after: tuple[str, str], scheme: Scheme) -> bool:
    """Return whether one (prefix, type) may stand after another; the ends count as ``O``."""
    same = before[1] == after[1]
    inside = before[0] in "BI"
    if scheme == "bioes":
        return (after[0] in "IE" and same) if inside else after[0] not in "IE"
    needs = "B" if scheme == "iob1" else "I"  # in IOB1, B only parts two entities of one type
    return after[0] != needs or (inside and same)


def labels_of(types: Sequence[str], scheme: Scheme) -> tuple[str, ...]:
    """Return every tag of a scheme: ``O`` first, then type by type."""
    prefixes = [prefix for prefix in _PREFIXES[scheme] if prefix != OUTSIDE]
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in prefixes))


def forbidden(
    labels: Sequence[str], scheme: Scheme
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return which tags may not start (C,), follow another (row, column: C, C), and end (C,)."""
    read = [parsed(label) for label in labels]
    side = (OUTSIDE, "")
    return (
        np.array([not follows(side, tag, scheme) for tag in read]),
        np.array([[not follows(a, b, scheme) for b in read] for a in read]),
        np.array([not follows(tag, side, scheme) for tag in read]),
    )


_PREFIXES: dict[Scheme, str] = {"bio": "OBI", "iob1": "OBI", "bioes": "OBIES"}
#: What begins an entity, where none goes on.
_BEGIN: dict[Scheme, str] = {"bio": "B", "iob1": "BI", "bioes": "BS"}


def _runs(tags: Sequence[tuple[str, str]], scheme: Scheme) -> Iterator[tuple[Entity, bool]]:
    """Yield what begins as an entity, and whether it ends as one."""
    at = 0
    while at < len(tags):
        prefix, kind = tags[at]
        start, at = at, at + 1
        if prefix in _BEGIN[scheme]:
            while at < len(tags) and _goes_on(tags[at - 1], tags[at]):
                at += 1
            yield (kind, start, at), scheme != "bioes" or tags[at - 1][0] in "ES"


def _goes_on(before: tuple[str, str], after: tuple[str, str]) -> bool:
    return before[0] in "BI" and after[0] in "IE" and before[1] == after[1]
