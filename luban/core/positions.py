"""The place of each name in a sequence, remembered: thousands of names are looked up often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: By the number of the sequence, which is kept, so that no other can have its number.
_KNOWN: dict[int, tuple[Sequence[str], dict[str, int]]] = {}
_MOST = 16  #: sequences that are remembered


def positions(names: Sequence[str]) -> Mapping[str, int]:
    """Return the position of each name of a sequence that does not change."""
    known = _KNOWN.get(id(names))
    if known is None or known[0] is not names or len(known[1]) != len(names):
        if len(_KNOWN) > _MOST:
            _KNOWN.clear()
        known = _KNOWN[id(names)] = names, {name: at for at, name in enumerate(names)}
    return known[1]
