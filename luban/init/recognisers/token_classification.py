"""Which fields of unknown records hold tagged tokens, or texts with marked places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luban.core.contracts import Guess, Record
from luban.core.unicode_text import without_blanks
from luban.data.files.records import own_fields
from luban.data.text.entity_spans import entities_in
from luban.data.text.tagging import parsed
from luban.init.recognisers._fields import renamed
from luban.init.recognisers._spans import field_fitting

_TOKENS = ("tokens", "words", "characters", "chars")


_TAGS = ("tags", "ner_tags", "ner", "labels", "bio", "entities")


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of named entities: tokens with tags, or a text with places in it."""
    rows = [own_fields(record) for record in sample]
    if not rows:
        return None
    tokens = field_fitting(rows, _TOKENS, _is_words)
    tags = field_fitting(rows, _TAGS, _is_tags)
    if tokens and tags and all(len(row[tokens]) == len(row[tags]) for row in rows):
        texts = ["".join(row[tokens]) for row in rows]
        return Guess(
            confidence=0.95,
            fields=renamed({"tokens": tokens, "tags": tags}),
            task=_task(texts, [row[tokens] for row in rows]),
            model=_MODEL,
            why=f"{tags!r} has one tag for each of {tokens!r}",
        )
    held = {  # each column looked at once: a table may have thousands
        name: [row.get(name) for row in rows] for name in rows[0]
    }
    marks = [name for name, each in held.items() if not any(isinstance(v, str) for v in each)]
    for text in (name for name, each in held.items() if all(isinstance(v, str) for v in each)):
        for spans in marks:
            found = [entities_in(row.get(spans), row[text]) for row in rows]
            if any(found) and all(
                _stand(one, row[text]) for one, row in zip(found, rows, strict=True)
            ):
                return Guess(
                    confidence=0.95,
                    fields=renamed({"text": text, "entities": spans}),
                    task=_task([row[text] for row in rows], [row[text].split() for row in rows]),
                    model=_MODEL,
                    why=f"{spans!r} marks places in {text!r}",
                )
    return None


def _stand(entities: list[dict[str, Any]] | None, text: str) -> bool:
    """Return whether entities are known and stand within a text."""
    return entities is not None and all(0 <= e["start"] < e["end"] <= len(text) for e in entities)


_MODEL = {"name": "rnn", "hidden_size": 128, "num_hidden_layers": 1, "dropout": 0.3}


def _task(texts: Sequence[str], words: Sequence[Sequence[str]]) -> dict[str, Any]:
    chinese = without_blanks("".join(texts))
    longest = max(map(len, texts)) if chinese else 2 * max(map(len, words))
    length = next((size for size in (64, 128, 256) if longest <= size), 512)
    return {"tokenizer": "char" if chinese else "bpe", "max_length": length, "crf": True}


def _is_words(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _is_tags(value: Any) -> bool:
    if not _is_words(value):
        return False
    try:
        return bool([parsed(item) for item in value])
    except ValueError:
        return False
