"""Where a text stands in another."""

from __future__ import annotations


def nearest_occurrence(context: str, text: str, stated: int) -> int:
    """Return where a text begins in a context, nearest to a stated place; -1 where it is not there.

    An empty text stands only where it is stated.
    """
    if stated >= 0 and context.startswith(text, stated):
        return stated
    if not text:
        return -1
    places, at = [], context.find(text)
    while at >= 0:
        places.append(at)
        at = context.find(text, at + 1)
    return min(places, key=lambda place: abs(place - stated), default=-1)
