"""Fields of unknown records that hold texts: alone, in pairs, or beside what they become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from luban.core.contracts import Record
from luban.core.unicode_text import without_blanks
from luban.data.files.records import own_fields
from luban.init.recognisers._fields import (
    MOST,
    UNNAMED,
    bare,
    by_name,
    classes_in,
    is_texts,
    last_of,
)

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


def text_fields(fields: dict[str, list[Any]]) -> tuple[str | None, str | None]:
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
        if sum(isinstance(v, str) for v in column) >= MOST * len(column)
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


def text_task(texts: list[str]) -> dict[str, Any]:
    """Return tokenizer and length: characters of Chinese, else pieces of words."""
    chinese = without_blanks("".join(texts))
    longest = max(map(len, texts)) if chinese else max(len(text) // 3 for text in texts)
    length = next((size for size in (64, 128, 256) if longest <= size), 512)
    return {"tokenizer": "char" if chinese else "bpe", "max_length": length}


def characters_task(texts: list[str]) -> dict[str, Any]:
    """Return tokenizer and length of a model that reads characters."""
    longest = max(map(len, texts)) + 2  # special tokens stand around
    length = next((size for size in (64, 128, 256, 512, 1024, 2048) if longest <= size), 4096)
    return {"tokenizer": "char", "max_length": length}


def mean_lengths(sample: Sequence[Record]) -> dict[str, float]:
    """Return the mean length of each field that is a text or a list of texts, nearly everywhere."""
    rows = [own_fields(record) for record in sample]
    times = Counter(name for row in rows for name, value in row.items() if text_of(value))
    names = [name for name, count in times.items() if count >= MOST * len(rows)]
    return {name: sum(len(text_of(row.get(name))) for row in rows) / len(rows) for name in names}


def text_of(value: Any) -> str:
    """Return a text, or the first of a list of them; empty if it is neither."""
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, str) else ""


def field_named(sizes: Mapping[str, float], names: Sequence[str]) -> str | None:
    known = {last_of(name): name for name in sizes}
    return next((known[name] for name in names if name in known), None)


def tokenize_option(chosen: str, default: str) -> dict[str, str]:
    return {} if chosen == default else {"tokenize": chosen}


def joined(sample: Sequence[Record], field: str) -> str:
    return "".join(text_of(record.get(field)) for record in sample)
