"""Which fields of unknown records hold a text, and what is told of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from luban.core.contracts import Guess, Record
from luban.core.unicode_text import without_blanks, without_signs
from luban.data.files.records import own_fields
from luban.data.media.media_files import holds_media
from luban.tasks.answers.labels import label_of

_TEXTS = ("text", "sentence", "content", "review", "body", "comment", "title", "query", "premise")
#: What two texts of a pair are called, without signs.
_PAIRS = (
    ("text", "textpair"),
    ("text", "text2"),
    ("text1", "text2"),
    ("texta", "textb"),
    ("sentence", "sentence2"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
    ("query", "passage"),
    ("query", "title"),
    ("query1", "query2"),
    ("1string", "2string"),
    ("s1", "s2"),
)
#: What labels are called, without signs, the surest first.
LABELS = (
    *("label", "goldlabel", "class", "category", "labels", "tags", "sentiment", "polarity"),
    *("topic", "intent", "emotion", "target", "classlabel", "labeltext", "labelname", "stars"),
    *("rating", "quality", "isduplicate", "duplicate", "stance", "genre", "breed", "species"),
)
_VALUES = (
    *("value", "score", "rating", "stars", "similarity", "label", "target", "price"),
    "relatednessscore",
)
#: Fields of a question with choices: its label is the place of the right one.
CHOICES = re.compile(
    r"(choice|option|ending|answer|sol|opt)s?[_ ]?([0-9a-e]|list)?|choices|endings"
)
#: What stands where a label is not known.
_NONE = frozenset(("", "-", "?", "nan", "null", "none", "n/a", "unknown", "-1", "-100"))
_IDS = ("id", "idx", "index", "guid", "uid", "qid", "sid", "unnamed0", "")
#: Shares of the records that must have a field, and be of its kind.
_MOST = 0.95
UNNAMED = re.compile(r"column\d+")


def guess_labels(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a classifier: a text beside a field of few distinct values."""
    fields = columns_of(sample)
    if not sample or any(map(holds_media, sample[0].values())):
        return None
    found = {name: k for name, column in fields.items() if (k := classes_in(column))}
    first, second = _texts(fields)
    named = by_name([*found], LABELS)
    label = named or min(found, key=lambda name: found[name], default=None)
    if first is None or label is None or label in (first, second):
        return None
    # Without a name that says so, a label must be the only one, and nothing else be there.
    others = {name for name in fields if bare(name) not in _IDS} - {first, second, label}
    clear = not others or all(map(UNNAMED.fullmatch, fields))
    sure = 0.9 if named else 0.7 if clear and _only(fields, found) else 0.35
    if any(CHOICES.fullmatch(last_of(name)) for name in fields):
        sure = 0.35
    labels = counted(fields[label])
    without = tuple(name for name in labels if name.strip().lower() in _NONE)
    held = {name: times for name, times in labels.items() if name not in without}
    pair = f" and {second!r}" if second else ""
    return Guess(
        confidence=sure,
        fields=renamed({"text": first, "text_pair": second, "label": label}),
        task=_task([text for text in fields[first] if isinstance(text, str)]),
        model={"name": "textcnn"},
        why=f"{label!r} has {len(held)} values beside the text {first!r}{pair}",
        labels=held,
        without=without,
    )


def guess_values(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a regression: a text beside a number that takes many values."""
    fields = columns_of(sample)
    if not sample or any(map(holds_media, sample[0].values())):
        return None
    found = [name for name, column in fields.items() if _is_measure(column)]
    named = by_name(found, _VALUES)
    first, second = _texts(fields)
    if first is None or not (named or len(found) == 1):
        return None
    value = named or found[0]
    whole = all(float(number).is_integer() for number in fields[value])
    sure = 0.3 if not named else 0.5 if whole and classes_in(fields[value]) else 0.8
    return Guess(
        confidence=sure,
        fields=renamed({"text": first, "text_pair": second, "value": value}),
        task=_task([text for text in fields[first] if isinstance(text, str)]),
        model={"name": "textcnn"},
        why=f"{value!r} is a number beside the text {first!r}",
    )


def columns_of(sample: Sequence[Record]) -> dict[str, list[Any]]:
    """Return the values of each field that nearly every record has; None where it has not."""
    rows = [own_fields(record) for record in sample]
    times = Counter(name for row in rows for name in row)
    most = [name for name, count in times.items() if count >= _MOST * len(rows)]
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
    distinct = len(set(labels)) if len(held) >= _MOST * len(column) else 0
    return distinct if 2 <= distinct <= max(2, min(200, len(column) // 4)) else 0


def counted(column: Sequence[Any]) -> dict[str, int]:
    """Return how often each label stands in a column, the most frequent first."""
    values = [one for value in column for one in (value if isinstance(value, list) else [value])]
    found = Counter(name for value in values if (name := label_of(value)) is not None)
    return dict(found.most_common())


def is_texts(column: Sequence[Any]) -> bool:
    """Return whether a column holds texts: strings, nearly all, and most of them distinct."""
    texts = [value for value in column if isinstance(value, str)]
    if len(texts) < _MOST * len(column) or not texts:
        return False
    distinct, length = len(set(texts)), sum(map(len, texts)) / len(texts)
    return distinct > len(texts) / 2 or (distinct > 20 and length >= 12)


def renamed(names: dict[str, str | None]) -> dict[str, str | list[str]]:
    """Return our names to theirs, where they differ."""
    return {ours: theirs for ours, theirs in names.items() if theirs and ours != theirs}


def _texts(fields: dict[str, list[Any]]) -> tuple[str | None, str | None]:
    """Return the field of texts, and that of second texts if they come in pairs.

    By name; else the longest on average, or two of about one length where no column has a name.
    """
    sizes = {
        name: sum(len(v) for v in column if isinstance(v, str)) / len(column)
        for name, column in fields.items()
        if is_texts(column)
    }
    every = {
        bare(name): name
        for name, column in fields.items()
        if sum(isinstance(v, str) for v in column) >= _MOST * len(column)
    }
    for one, other in _PAIRS:
        if one in every and other in every and {every[one], every[other]} & sizes.keys():
            return every[one], every[other]
    if known := by_name([*sizes], _TEXTS):
        return known, None
    longest = sorted(sizes, key=lambda name: -sizes[name])
    if len(longest) == 2 and all(map(UNNAMED.fullmatch, fields)):
        labels = [
            k for name, column in fields.items() if name not in longest if (k := classes_in(column))
        ]
        if sizes[longest[0]] < 1.5 * sizes[longest[1]] and labels and min(labels) <= 3:
            first, second = sorted(longest, key=[*fields].index)
            return first, second
    return (longest[0] if longest else None), None


def _only(fields: dict[str, list[Any]], found: dict[str, int]) -> bool:
    """Return whether one column alone can be that of labels, but for some that have one value."""
    return len([name for name in found if len(set(map(str, fields[name]))) > 1]) == 1


def _is_measure(column: list[Any]) -> bool:
    """Return whether a column holds numbers of many values that do not just count the rows."""
    try:
        numbers = [float(value) for value in column if not isinstance(value, bool)]
    except (TypeError, ValueError):
        return False
    steps = {b - a for a, b in pairwise(numbers)}
    return len(numbers) == len(column) and len(set(numbers)) > 5 and len(steps) > 1


def _task(texts: list[str]) -> dict[str, Any]:
    """Return tokenizer and length: characters of Chinese, else pieces of words."""
    chinese = without_blanks("".join(texts))
    longest = max(map(len, texts)) if chinese else max(len(text) // 3 for text in texts)
    length = next((size for size in (64, 128, 256) if longest <= size), 512)
    return {"tokenizer": "char" if chinese else "bpe", "max_length": length}
