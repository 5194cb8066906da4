"""Which fields of unknown records hold a question and a text that answers it."""

from __future__ import annotations

from collections.abc import Sequence

from luban.core.contracts import Guess, Record
from luban.core.unicode_text import without_blanks
from luban.data.files.records import own_fields
from luban.init.recognisers._fields import renamed
from luban.init.recognisers._spans import field_fitting

_QUESTIONS = ("question", "query", "q")


_CONTEXTS = ("context", "passage", "paragraph", "document", "text")


_ANSWERS = ("answers", "answer")


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of extractive answers: a question beside a text that holds its answer."""
    rows = [own_fields(record) for record in sample]
    if not rows:
        return None
    question = field_fitting(rows, _QUESTIONS, lambda value: isinstance(value, str))
    context = field_fitting(rows, _CONTEXTS, lambda value: isinstance(value, str))
    answers = field_fitting(rows, _ANSWERS, lambda value: isinstance(value, list | tuple | dict))
    if question is None or context is None or answers is None:
        return None
    chinese = without_blanks("".join(row[context] for row in rows))
    return Guess(
        confidence=0.95,
        fields=renamed({"question": question, "context": context, "answers": answers}),
        task={"tokenizer": "char" if chinese else {"name": "wordpiece", "vocab_size": 8000}},
        model={"name": "bert", "hidden_size": 128, "num_hidden_layers": 4},
        why=f"{answers!r} stand in {context!r}",
    )
