"""What the fields of unknown records hold: labels, texts, numbers; and what they are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from luban.core.contracts import Record
from luban.core.unicode_text import without_signs
from luban.data.files.records import own_fields
from luban.tasks.answers.labels import label_of

#: What labels are called, without signs, the surest first.
LABELS = (
    *("label", "goldlabel", "class", "category", "labels", "tags", "sentiment", "polarity"),
    *("topic", "intent", "emotion", "target", "classlabel", "labeltext", "labelname", "stars"),
    *("rating", "quality", "isduplicate", "duplicate", "stance", "genre", "breed", "species"),
)


#: Shares of the records that must have a field, and be of its kind.
MOST = 0.95


UNNAMED = re.compile(r"column\d+")


def columns_of(sample: Sequence[Record]) -> dict[str, list[Any]]:
    """Return the values of each field that nearly every record has; None where it has not."""
    rows = [own_fields(record) for record in sample]
    times = Counter(name for row in rows for name in row)
    most = [name for name, count in times.items() if count >= MOST * len(rows)]
    return {name: [row.get(name) for row in rows] for name in most}


def last_of(name: str) -> str:
    """Return what a field is called in the table that holds it: ``meta.Tags`` is ``tags``."""
    return name.rpartition(".")[2].lower()


def by_name(names: Sequence[str], known: Sequence[str]) -> str | None:
    """Return the field with the first of the known names, without signs; None: there is none."""
    plain = {bare(name): name for name in reversed(names)}
    return next((plain[name] for name in known if name in plain), None)


def bare(name: str) -> str:
    """Return a field's name in small letters, without signs: ``#1 String`` is ``1string``."""
    return without_signs(last_of(name))


def classes_in(column: Sequence[Any]) -> int:
    """Return how many labels a column has; 0 if it is none of labels."""
    held = [value for value in column if value is not None]
    values = [one for value in held for one in (value if isinstance(value, list) else [value])]
    labels = [label_of(value) for value in values]
    if None in labels or any(isinstance(value, str) and len(value) > 64 for value in values):
        return 0
    distinct = len(set(labels)) if len(held) >= MOST * len(column) else 0
    return distinct if 2 <= distinct <= max(2, min(200, len(column) // 4)) else 0


def counted(column: Sequence[Any]) -> dict[str, int]:
    """Return how often each label stands in a column, the most frequent first."""
    values = [one for value in column for one in (value if isinstance(value, list) else [value])]
    found = Counter(name for value in values if (name := label_of(value)) is not None)
    return dict(found.most_common())


def is_texts(column: Sequence[Any]) -> bool:
    """Return whether a column holds texts: strings, nearly all, and most of them distinct."""
    texts = [value for value in column if isinstance(value, str)]
    if len(texts) < MOST * len(column) or not texts:
        return False
    distinct, length = len(set(texts)), sum(map(len, texts)) / len(texts)
    return distinct > len(texts) / 2 or (distinct > 20 and length >= 12)


def renamed(names: dict[str, str | None]) -> dict[str, str | list[str]]:
    """Return our names to theirs, where they differ."""
    return {ours: theirs for ours, theirs in names.items() if theirs and ours != theirs}
