"""A predictor keeps order, sets bad records apart and pads little."""

from __future__ import annotations

import random
from typing import Any

import pytest

from luban.core.contracts import Generative
from luban.core.errors import DataError, RequestError
from luban.inference.predictor import Predictor, servable, text_field
from luban.inference.text import TextGenerator
from tests.inference.fakes import Bytes, Script
from tests.inference.toy import Counter, Counting


def test_order_is_kept_and_batches_hold_one_length() -> None:
    words = random.Random(0).sample([["a", "bcd", "bee", "cdefg", "eeeeeeee"][i % 5] for i in
                                     range(40)], 40)  # fmt: skip
    module = Counter()
    answers = Predictor(Counting(), module, batch_size=8).predict([{"text": w} for w in words])
    assert [answer["text"] for answer in answers] == words
    expected = [sum(c in "aeiou" for c in word) / len(word) for word in words]
    assert [answer["value"] for answer in answers] == pytest.approx(expected)
    assert sorted(module.shapes) == sorted([(8, 1), (8, 3), (8, 3), (8, 5), (8, 8)])


def test_bad_records_are_errors_in_their_places() -> None:
    records: list[dict[str, Any]] = [
        {"text": "a"}, {"txt": "a"}, {"text": "be"}, {"text": ""}, {"text": 3}, {"text": "\ud800"},
    ]  # fmt: skip
    answers = Predictor(Counting(), Counter()).predict(records)
    bad = [isinstance(answer, DataError) for answer in answers]
    assert bad == [False, True, False, True, True, True]
    assert "half a character" in str(answers[5])
    assert [answers[i]["text"] for i in (0, 2)] == ["a", "be"]
    assert Predictor(Counting(), Counter()).predict([]) == []


def test_records_of_two_kinds_do_not_share_a_batch() -> None:
    records = [{"text": "a", "pair": "b"}, {"text": "e"}, {"text": "i", "pair": "b"}]
    answers = Predictor(Counting(), Counter()).predict(records)
    assert [answer["text"] for answer in answers] == ["a", "e", "i"]


def test_a_batch_holds_one_record_at_least() -> None:
    with pytest.raises(RequestError, match="batch size"):
        Predictor(Counting(), Counter(), 0)


def test_what_continues_prompts_is_a_generator() -> None:
    class Speaking(Counting, Generative):
        def generator(self, model: Any) -> Any:
            return TextGenerator(model, Bytes())

    assert isinstance(servable(Counting(), Counter()), Predictor)
    assert isinstance(servable(Speaking(), Script([1])), TextGenerator)


STRING, LIST = {"type": "string"}, {"type": "array"}


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"type": "object"}, "text"),
        ({"properties": {"text": STRING, "text_pair": STRING}, "required": ["text"]}, "text"),
        ({"properties": {"text": STRING, "tokens": LIST}}, "text"),
        ({"properties": {"source": STRING}, "required": ["source"]}, "source"),
    ],
)
def test_what_a_text_stands_for(schema: dict[str, Any], field: str) -> None:
    assert text_field(schema) == field


def test_a_text_is_not_enough_for_every_task() -> None:
    both = {"question": STRING, "context": STRING}
    with pytest.raises(DataError, match="question, context"):
        text_field({"properties": both, "required": ["question", "context"]})
    with pytest.raises(DataError, match="tokens"):
        text_field({"properties": {"tokens": LIST}, "required": ["tokens"]})
