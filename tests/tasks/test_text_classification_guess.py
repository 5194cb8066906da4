"""What is recognised as texts beside labels, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from luban.core.contracts import Record
from luban.init.recognition import recognise


def rows(size: int = 60, **columns: Any) -> list[Record]:
    return [{name: make(i) for name, make in columns.items()} for i in range(size)]


def text(i: int) -> str:
    return f"a sentence with number {i} in it"


def test_a_text_beside_few_values_is_recognised() -> None:
    found = recognise("text-classification", rows(review=text, stars=lambda i: str(i % 2)))
    assert found is not None
    assert found.fields == {"text": "review", "label": "stars"}
    named = recognise(
        "text-classification", rows(text=text, source=lambda i: i % 3, label=lambda i: "ab"[i % 2])
    )
    assert named is not None
    assert named.fields == {}
    unnamed = recognise("text-classification", rows(words=text, mark=lambda i: str(i % 2)))
    assert unnamed is not None
    assert named.confidence >= found.confidence > unnamed.confidence
    assert named.task["tokenizer"] == "char"
    assert named.model == {"name": "linear"}
    pairs = recognise(
        "text-classification", rows(premise=text, hypothesis=text, label=lambda i: i % 3)
    )
    assert pairs is not None
    assert pairs.fields["text_pair"] == "hypothesis"
    chinese = recognise(
        "text-classification", rows(text=lambda i: f"第{i}条新闻标题", label=lambda i: i % 3)
    )
    assert chinese is not None
    assert chinese.task == {"tokenizer": "char", "max_length": 64}


@pytest.mark.parametrize(
    "columns",
    [
        {"text": text},
        {"text": text, "id": lambda i: i},
        {"text": text, "summary": lambda i: f"the {i}th summary of it all"},
        {"label": lambda i: i % 2},
        {"text": text, "label": lambda i: 0},
    ],
)
def test_other_records_are_not(columns: dict[str, Any]) -> None:
    assert recognise("text-classification", rows(**columns)) is None
    assert recognise("text-classification", []) is None
