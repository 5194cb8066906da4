"""Which fields of unknown records hold a text, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from luban.core.contracts import Guess, Record
from luban.data.records import own_fields
from luban.data.scripts import script_shares
from luban.tasks._labels import label_of

_TEXTS = ("text", "sentence", "content", "review", "body", "comment", "title", "query", "premise")
_SECONDS = ("text_pair", "sentence2", "hypothesis", "text2", "sentence_2", "text_b")
LABELS = (
    "label",
    "labels",
    "tags",
    "class",
    "category",
    "sentiment",
    "topic",
    "intent",
    "polarity",
)
_VALUES = ("value", "score", "rating", "stars", "similarity", "label", "target", "price")


def guess_labels(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a classifier: a text beside a field of few distinct values."""
    fields = columns_of(sample)
    found = [(name, k) for name, column in fields.items() if (k := classes_in(column))]
    text = _text(fields)
    named = [item for item in found if last_of(item[0]) in LABELS]
    if text is None or not (named or found):
        return None
    label, classes = min(named or found, key=lambda item: item[1])
    return Guess(
        confidence=0.9 if named else 0.5,
        fields=_renamed(fields, text, {"label": label}),
        task=_task(fields[text]),
        model={"name": "textcnn"},
        why=f"{label!r} has {classes} values beside the text {text!r}",
    )


def guess_values(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a regression: a text beside a number that takes many values."""
    fields = columns_of(sample)
    found = [name for name, column in fields.items() if _is_measure(column)]
    named = [name for name in found if last_of(name) in _VALUES]
    text = _text(fields)
    if text is None or not (named or len(found) == 1):
        return None
    value = (named or found)[0]
    return Guess(
        confidence=0.8 if named else 0.3,
        fields=_renamed(fields, text, {"value": value}),
        task=_task(fields[text]),
        model={"name": "textcnn"},
        why=f"{value!r} is a number beside the text {text!r}",
    )


def columns_of(sample: Sequence[Record]) -> dict[str, list[Any]]:
    """Return the values of each field that every record has."""
    rows = [own_fields(record) for record in sample]
    shared = [name for name in rows[0] if all(name in row for row in rows)] if rows else []
    return {name: [row[name] for row in rows] for name in shared}


def _text(fields: dict[str, list[Any]]) -> str | None:
    """Return the field of texts: one of a usual name, else the longest on average."""
    sizes = {
        name: sum(map(len, column)) / len(column)
        for name, column in fields.items()
        if all(isinstance(value, str) for value in column) and len(set(column)) > len(column) / 2
    }
    known = [field for name in _TEXTS for field in sizes if last_of(field) == name]
    if known:
        return known[0]
    return max(sizes, key=lambda name: sizes[name]) if sizes else None


def last_of(name: str) -> str:
    """Return what a field is called in the table that holds it: ``meta.Tags`` is ``tags``."""
    return name.rpartition(".")[2].lower()


def classes_in(column: list[Any]) -> int:
    """Return how many labels a column has; 0 if it is none of labels."""
    values = [one for value in column for one in (value if isinstance(value, list) else [value])]
    labels = [label_of(value) for value in values]
    if None in labels or any(isinstance(value, str) and len(value) > 64 for value in values):
        return 0
    distinct = len(set(labels))
    return distinct if 2 <= distinct <= max(2, min(200, len(column) // 4)) else 0


def _is_measure(column: list[Any]) -> bool:
    """Return whether a column holds numbers of many values that do not just count the rows."""
    try:
        numbers = [float(value) for value in column if not isinstance(value, bool)]
    except (TypeError, ValueError):
        return False
    steps = {b - a for a, b in pairwise(numbers)}
    return len(numbers) == len(column) and len(set(numbers)) > 5 and len(steps) > 1


def _renamed(fields: dict[str, list[Any]], text: str, answer: dict[str, str]) -> dict[str, str]:
    names = {name.lower(): name for name in fields}
    second = next((names[name] for name in _SECONDS if name in names), None)
    found = {"text": text, **({"text_pair": second} if second else {}), **answer}
    return {ours: theirs for ours, theirs in found.items() if ours != theirs}


def _task(texts: list[str]) -> dict[str, Any]:
    """Return tokenizer and length: characters of Chinese, else pieces of words."""
    chinese = script_shares("".join(texts))["cjk"] > 0.3
    longest = max(map(len, texts)) if chinese else max(len(text) // 3 for text in texts)
    length = next((size for size in (64, 128, 256) if longest <= size), 512)
    return {"tokenizer": "char" if chinese else "bpe", "max_length": length}
