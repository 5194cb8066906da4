"""Which fields of unknown records hold a text and a number of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from luban.core.contracts import Guess, Record
from luban.data.media.media_files import holds_media
from luban.init.recognisers._fields import by_name, classes_in, columns_of, renamed
from luban.init.recognisers._texts import text_fields, text_task

_VALUES = (
    *("value", "score", "rating", "stars", "similarity", "label", "target", "price"),
    "relatednessscore",
)


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a regression: a text beside a number that takes many values."""
    fields = columns_of(sample)
    if not sample or any(map(holds_media, sample[0].values())):
        return None
    found = [name for name, column in fields.items() if _is_measure(column)]
    named = by_name(found, _VALUES)
    first, second = text_fields(fields)
    if first is None or not (named or len(found) == 1):
        return None
    value = named or found[0]
    whole = all(float(number).is_integer() for number in fields[value])
    sure = 0.3 if not named else 0.5 if whole and classes_in(fields[value]) else 0.8
    return Guess(
        confidence=sure,
        fields=renamed({"text": first, "text_pair": second, "value": value}),
        task=text_task([text for text in fields[first] if isinstance(text, str)]),
        model={"name": "textcnn"},
        why=f"{value!r} is a number beside the text {first!r}",
    )


def _is_measure(column: list[Any]) -> bool:
    """Return whether a column holds numbers of many values that do not just count the rows."""
    try:
        numbers = [float(value) for value in column if not isinstance(value, bool)]
    except (TypeError, ValueError):
        return False
    steps = {b - a for a, b in pairwise(numbers)}
    return len(numbers) == len(column) and len(set(numbers)) > 5 and len(steps) > 1
