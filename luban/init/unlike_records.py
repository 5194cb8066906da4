"""Records whose values are of another type than those of nearly all others: likely damaged ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from luban.core.contracts import Record
from luban.data.files.records import own_fields
from luban.init.inspection import Found

#: Up to this share of records a type counts as damage; beyond it, the field has several types.
_FEW = 0.03
_SHOWN = 3


def without_unlike(found: Found) -> tuple[Found, list[str]]:
    """Return what is known of data without the few unlike records, and what to tell of these.

    A task recognises fields by their values in all records that it is shown; one damaged record
    must not hide what the others are. Training sets such records apart and counts them.
    """
    odd = _unlike(found.sample)
    if not odd:
        return found, []
    shown = "; ".join(f"{found.sample[at].get('_where', '')}: {odd[at]}" for at in [*odd][:_SHOWN])
    more = f"; and {len(odd) - _SHOWN:,} more" if len(odd) > _SHOWN else ""
    note = (
        f"{len(odd):,} of {len(found.sample):,} records looked at have values of another type than "
        f"the others; they were not looked at further: {shown}{more}"
    )
    alike = [record for at, record in enumerate(found.sample) if at not in odd]
    return replace(found, sample=alike), [note]


def _unlike(sample: Sequence[Record]) -> dict[int, str]:
    """Return the places of unlike records, and what is unlike; none if they are more than a few."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for record in sample:
        for name, value in own_fields(record).items():
            if value is not None:
                kinds[name][_kind(value)] += 1
    usual = {name: counts.most_common(1)[0][0] for name, counts in kinds.items()}
    odd: dict[int, str] = {}
    for at, record in enumerate(sample):
        for name, value in own_fields(record).items():
            if value is not None and _kind(value) != usual[name]:
                odd[at] = f"{name!r} is {_kind(value)}, not {usual[name]}"
    return odd if len(odd) <= _FEW * len(sample) else {}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list | tuple):
        return "a list"
    return "a table" if isinstance(value, dict) else type(value).__name__
