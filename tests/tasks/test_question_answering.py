"""Questions about passages: windows, answers, and what is no answer."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luban.core.contracts import Guess, Mechanism, Model, Tokenizer
from luban.core.errors import DataError, RecipeError
from luban.data.text.padding import SPECIALS, as_text
from luban.data.tokenizers.char import Char
from luban.data.views.in_memory import InMemoryExamples
from luban.init.recognition import recognise
from luban.tasks.answers.answer_spans import (
    Cutter,
    _highest_total,
    answers_in,
    best_no_answer_threshold,
)
from luban.tasks.question_answering import QuestionAnswering
from luban.testing import check_task
from tests.tasks.encoder import Encoder, Told

LONG = "The fox ran. It met a dog by the old mill. They ate fish and went home to sleep at last."
RECORDS: list[dict[str, Any]] = [
    {"question": "Who?", "context": LONG, "answers": [{"text": "a dog", "start": 20}]},
    {"question": "What?", "context": "They ate fish.", "answers": [{"text": "fish", "start": 9}]},
    {"question": "Why not?", "context": LONG[:40], "answers": []},
    {"question": "Where to?", "context": LONG, "answers": [
        {"text": "to sleep", "start": 0}, {"text": "home", "start": 70}, {"text": "home"},
    ]},
]  # fmt: skip
SMALL = {
    "tokenizer": "char",
    "max_length": 40,
    "doc_stride": 8,
    "max_question_length": 10,
    "max_answer_length": 9,
}


def placed(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**record, "_where": f"f:{row}"} for row, record in enumerate(records, 1)]


def made(records: list[dict[str, Any]] = RECORDS, **fields: Any) -> QuestionAnswering:
    task = QuestionAnswering.from_dict({"name": "question-answering", **SMALL, **fields})
    return task.learn(placed(records))


@pytest.mark.parametrize("fields", [{}, {"max_length": 200}, {"doc_stride": 0}], ids=str)
@pytest.mark.parametrize("records", [RECORDS, RECORDS[:2] * 2], ids=["with none", "all"])
def test_the_laws_of_tasks(records: list[dict[str, Any]], fields: dict[str, Any]) -> None:
    task = QuestionAnswering.from_dict({"name": "question-answering", **SMALL, **fields})
    check_task(task, Encoder(), placed(records), mechanism=Mechanism.from_dict("plain"))


# Windows


@given(st.integers(1, 10), st.integers(1, 60), st.integers(0, 6))
def test_windows_cover_a_context(question: int, context: int, overlap: int) -> None:
    tokenizer = Char().learn(["ab"], SPECIALS)
    cutter = Cutter(tokenizer, 20, overlap)
    example: dict[str, Any] = {
        "question_ids": np.zeros(question, np.uint16),
        "context_ids": np.arange(context, dtype=np.uint16) % 2,
        "places": np.zeros((0, 2), np.int32),
    }
    windows = cutter.windows(example)
    sides = (np.array([question]), np.array([context]))
    assert len(windows) == cutter.counts(*sides).item()
    assert [len(w["input_ids"]) for w in windows] == cutter.lengths(*sides).tolist()
    spans = [(int(w["offset"]), int(w["offset"]) + len(w["begins"])) for w in windows]
    assert spans[0][0] == 0
    assert spans[-1][1] == context
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert end - start == overlap
    # every token may begin an answer in exactly one window: the one that shows most around it
    for token in range(context):
        around = {
            i: min(token - start, end - 1 - token) + 0.01 * (end - start)
            for i, (start, end) in enumerate(spans)
            if start <= token < end
        }
        judged = [i for i in around if windows[i]["begins"][token - spans[i][0]]]
        assert len(judged) == 1
        assert around[judged[0]] == max(around.values())
    assert all(len(w["input_ids"]) <= 20 for w in windows)


def test_training_sees_windows_and_evaluation_questions() -> None:
    task = made()
    examples = task.encode_batch(RECORDS)
    store = InMemoryExamples(examples)
    view = task.view(store, 0, 0)
    counts = [task.target_summary(example).count // 2 for example in examples]
    assert counts == [4, 1, 2, 4]
    assert len(view) == sum(counts)
    assert view.lengths is not None
    assert [len(window["input_ids"]) for window in view] == view.lengths.tolist()
    whole = task.view(store, None, 0)
    assert whole.lengths is not None
    assert len(whole) == len(whole.lengths) == len(RECORDS)
    batch = task.collate(list(view))
    assert batch.inputs["input_ids"].shape == (sum(counts), 40)
    alone = task.collate([examples[1]])
    assert alone.inputs["input_ids"].dim() == 2
    together = task.collate(examples)
    assert together.inputs["input_ids"].shape == (4, 4, 40)
    with pytest.raises(IndexError):
        view[len(view)]


def test_the_loss_of_a_question_is_that_of_its_windows() -> None:
    task = made()
    examples = task.encode_batch(RECORDS)
    module = Encoder().build(task.signature())
    whole = task.loss(module, task.collate(examples))
    each = task.loss(module, task.collate(list(task.view(InMemoryExamples(examples), 0, 0))))
    ends = np.cumsum([task.target_summary(example).count // 2 for example in examples])
    parts = np.split(each.sums.detach().numpy(), ends[:-1])
    np.testing.assert_allclose(whole.sums.detach().numpy(), [p.sum() for p in parts], rtol=1e-5)
    assert whole.counts.tolist() == [2 * len(p) for p in parts]


def test_labels_are_where_the_answer_stands() -> None:
    task = made()
    for record, example in zip(RECORDS, task.encode_batch(RECORDS), strict=True):
        found = []
        for window in task.view(InMemoryExamples([example]), 0, 0):
            start, end = window["labels"].tolist()
            shift = int(window["offset"]) - len(example["question_ids"]) - 2
            assert (start == 0) == (end == 0)
            if start:
                a, b = example["spans"][start + shift][0], example["spans"][end + shift][1]
                found.append(record["context"][a:b])
        answers = [answer["text"] for answer in record["answers"]]
        most = max(answers, key=answers.count, default=None)
        assert set(found) == ({most} if most else set())


# Answers


def best_of_all(task: QuestionAnswering, logits: torch.Tensor, batch: Any, row: int) -> Any:
    """The same by enumeration, from the definition."""
    places, begins = batch.targets["places"][row], batch.targets["begins"][row]
    text = as_text(batch.targets["text"][row, : batch.targets["bytes"][row]].numpy())
    scores, absent = {}, []
    for w in range(places.shape[0]):
        if (places[w] < 0).all():
            continue
        absent.append(float(logits[row, w, 0].sum()))
        for i, j in itertools.product(range(places.shape[1]), repeat=2):
            if begins[w, i] and places[w, j] >= 0 and 0 <= j - i < task.max_answer_length:
                score = float(logits[row, w, i, 0] + logits[row, w, j, 1])
                scores[int(places[w, i]), int(places[w, j])] = score
    values = torch.tensor([*scores.values(), min(absent)], dtype=torch.float64).softmax(0)
    best = max(scores, key=lambda span: scores[span])
    spans = batch.targets["spans"][row]
    answer = text[spans[best[0], 0] : spans[best[1], 1]].strip()
    return answer, values[:-1].max().item(), values[-1].item()


def test_the_best_span_of_all_windows_wins() -> None:
    task = made()
    batch = task.collate([task.encode_input(record) for record in RECORDS])
    shape = batch.inputs["input_ids"].shape
    torch.manual_seed(0)
    for _ in range(5):
        logits = 3 * torch.randn(*shape, 2, dtype=torch.float64)
        real = batch.inputs["attention_mask"].any(-1)
        for row, found in enumerate(task._best(Told(logits[real]), batch)):
            answer, score, none = best_of_all(task, logits, batch, row)
            assert found["answer"] == answer
            assert found["score"] == pytest.approx(score, rel=1e-9)
            assert found["no_answer"] == pytest.approx(none, rel=1e-9)
            context = RECORDS[row]["context"]
            assert context[found["start"] : found["end"]] == answer


def told(task: QuestionAnswering, batch: Any) -> Told:
    """A model that knows the answers: as sure of "not here" as of the answer."""
    labels, places = batch.targets["labels"], batch.targets["places"]
    logits = torch.zeros(*places.shape, 2)
    for side in (0, 1):
        at = labels[..., side].clamp(min=0).unsqueeze(-1)
        logits[..., side].scatter_(-1, at, 30.0)
    real = batch.inputs["attention_mask"].any(-1)
    return Told(logits[real] if places.dim() == 3 else logits)


def test_a_perfect_model_gets_everything_right() -> None:
    task = made()
    examples = task.encode_batch(RECORDS)
    batch = task.collate(examples)
    answers = task.predict(told(task, batch), batch)
    assert [a["answer"] for a in answers] == ["a dog", "fish", "", "home"]
    assert answers[2]["start"] is None
    assert answers[2]["score"] == answers[2]["no_answer"] > 0.99
    assert all(a["score"] > 0.99 for a in answers)
    for metric in task.metrics():
        rows = [
            metric.statistics(a, task.target(e)) for a, e in zip(answers, examples, strict=True)
        ]
        assert metric.compute(np.asarray(rows)) == 1.0
    losses = task.loss(told(task, batch), batch)
    assert bool((losses.sums < 1e-3).all())


def test_what_always_has_an_answer_is_always_answered() -> None:
    task = made(RECORDS[:2])
    batch = task.collate([task.encode_input(RECORDS[1])])
    logits = torch.zeros(*batch.inputs["input_ids"].shape, 2)
    logits[:, 0] = 9.0
    (answer,) = task.predict(Told(logits), batch)
    assert answer["no_answer"] > 0.9
    assert answer["answer"]


def test_the_threshold_is_found_on_validation_data(tmp_path: Path) -> None:
    task = made()
    batch = task.collate(task.encode_batch(RECORDS))
    found = task.calibrate(told(task, batch), [batch])
    assert found._threshold == 0.5, "nothing is better than a threshold that is never wrong"
    found.save(tmp_path)
    loaded = QuestionAnswering.from_dict(found.to_dict()).load(tmp_path)
    assert loaded._threshold == found._threshold
    assert loaded._unanswerable
    answered = made(RECORDS[:2])
    assert answered.calibrate(Told(torch.zeros(1)), iter([])) is answered


@given(
    st.lists(
        st.tuples(st.integers(1, 99), st.floats(0, 1), st.sampled_from([0.0, 1.0])),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row[0],
    )
)
def test_no_threshold_is_better(rows: list[tuple[int, float, float]]) -> None:
    def total(threshold: float) -> float:
        return sum(none if chance / 100 > threshold else span for chance, span, none in rows)

    table = np.array(rows) / [100, 1, 1]
    assert total(best_no_answer_threshold(table)) >= total(0.5) - 1e-9
    found = _highest_total(table)
    assert 0 < found < 1
    assert total(found) == pytest.approx(max(total(t / 200) for t in range(201)))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], []),
        ([{"text": "x", "answer_start": 3}], [("x", 3)]),
        (["x", "y"], [("x", -1), ("y", -1)]),
        ({"text": ["x"], "answer_start": [2]}, [("x", 2)]),
        ({"text": [], "answer_start": []}, []),
        ({"text": ["x"]}, [("x", -1)]),
        ([{"text": " "}], []),
    ],
)
def test_answers_in_every_form(answers: Any, expected: list[tuple[str, int]]) -> None:
    assert answers_in({"answers": answers}) == expected


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"context": "c", "answers": []}, "the record has no question"),
        ({"question": " ", "context": "c", "answers": []}, "the record has no question"),
        ({"question": "q", "context": 3, "answers": []}, "the record has no context"),
        ({"question": "q", "context": "c"}, "the record has no answers"),
        ({"question": "q", "context": "c", "answers": "c"}, "the record has no answers"),
        ({"question": "q", "context": "c", "answers": [{"start": 0}]}, "the record has no answers"),
        (
            {"question": "q", "context": "c", "answers": [{"text": "x", "start": 0}]},
            "the context does not hold the answer",
        ),
    ],
)
def test_bad_records_are_named(record: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        made().encode({**record, "_where": "g:7"})
    assert "g:7" in str(caught.value)


def test_one_answer_of_several_may_be_missing() -> None:
    record = {"question": "q", "context": "a b", "answers": ["x", "b"]}
    example = made().encode(record)
    assert example["places"].tolist() == [[2, 2]]
    assert made().target(example) == {"answers": ["x", "b"]}


def test_lengths_that_leave_no_room_are_refused() -> None:
    with pytest.raises(RecipeError, match="max_length must be 22 at least"):
        made(max_length=21)


@pytest.mark.parametrize(("text", "language"), [("床前明月光", "zh"), ("moonlight", "en")])
def test_the_language_is_that_of_the_contexts(text: str, language: str) -> None:
    records = [{"question": "q", "context": text, "answers": [text[:2]]}]
    assert [metric.language for metric in made(records).metrics()] == [language] * 2  # type: ignore[attr-defined]
    given = made(records, language="en")
    assert given.metrics()[0].language == "en"  # type: ignore[attr-defined]


def test_the_baseline_says_the_sentence_most_alike() -> None:
    task = made()
    record = {"question": "old mill by?", "context": LONG, "answers": []}
    answer = task.baselines(InMemoryExamples([]))["most-alike-sentence"](task.encode(record))
    assert answer["answer"] == "It met a dog by the old mill."


@cache
def _learned() -> QuestionAnswering:
    return made()


@cache
def _tokenizer(name: str) -> Tokenizer:
    fields = {} if name == "char" else {"vocab_size": 300}
    return Tokenizer.from_dict({"name": name, **fields}).learn(["ab é高"], SPECIALS)


@pytest.mark.parametrize("name", ["char", "bpe", "unigram"])
@given(data=st.data())
def test_any_span_comes_back_from_its_tokens(name: str, data: st.DataObject) -> None:
    """Tokens touch an answer exactly where its characters are, whatever the tokenizer."""
    context = data.draw(st.text("ab é高🐍\n", min_size=1, max_size=12).filter(str.strip))
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start + 1, len(context)))
    if not context[start:end].strip():
        return
    task = _learned().model_copy(update={"tokenizer": _tokenizer(name)})
    record = {"question": "q", "context": context, "answers": [
        {"text": context[start:end], "start": start}
    ]}  # fmt: skip
    example = task.encode(record)
    ((first, last),) = example["places"].tolist()
    spans = example["spans"]
    assert spans[first][0] <= start < spans[first][1]
    assert spans[last][0] < end <= spans[last][1]


def test_what_is_recognised() -> None:
    def guess(sample: list[dict[str, Any]]) -> Guess | None:
        return recognise("question-answering", placed(sample))

    found = guess(RECORDS)
    assert found is not None
    assert found.fields == {}
    task = QuestionAnswering.from_dict({"name": "question-answering", **found.task})
    assert Model.from_dict(found.model).fits(task.learn(placed(RECORDS)).signature())
    found = guess([{"query": "q", "passage": "p", "answers": {"text": [], "answer_start": []}}])
    assert found is not None
    assert found.fields == {"question": "query", "context": "passage"}
    assert guess([{"question": "q", "answers": []}]) is None
    assert guess([]) is None
