"""Entities against seqeval; answers against the official rules, written again from scratch."""

from __future__ import annotations

import re
import string
import warnings
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval import metrics as seqeval
from seqeval.scheme import IOB2, IOBES

from luban.core.contracts import Metric
from luban.data.text.tagging import Scheme, entities_of
from luban.metrics.answer_f1 import AnswerF1
from luban.metrics.entity_f1 import EntityF1
from luban.metrics.exact_match import ExactMatch

THEIRS = {"bio": IOB2, "bioes": IOBES}
SCORES: tuple[Literal["f1", "precision", "recall"], ...] = ("f1", "precision", "recall")


def value(metric: Metric, predictions: list[Any], targets: list[Any]) -> float:
    rows = [metric.statistics(p, t) for p, t in zip(predictions, targets, strict=True)]
    return metric.compute(np.asarray(rows, dtype=np.float64))


def answer(tags: list[str], scheme: Scheme) -> dict[str, Any]:
    keys = ("type", "start", "end")
    return {"entities": [dict(zip(keys, e, strict=True)) for e in entities_of(tags, scheme)]}


def pairs(prefixes: str) -> st.SearchStrategy[list[list[tuple[str, str]]]]:
    tags = st.sampled_from(["O", *(f"{p}-{kind}" for p in prefixes for kind in "XY")])
    return st.lists(st.lists(st.tuples(tags, tags), min_size=1, max_size=6), min_size=1, max_size=4)


@pytest.mark.parametrize(("scheme", "prefixes"), [("bio", "BI"), ("bioes", "BIES")])
@given(data=st.data())
def test_any_tags_score_as_in_seqeval(scheme: Scheme, prefixes: str, data: st.DataObject) -> None:
    rows = data.draw(pairs(prefixes))
    said, true = ([[pair[i] for pair in row] for row in rows] for i in (0, 1))
    predictions, targets = ([answer(tags, scheme) for tags in side] for side in (said, true))
    options: dict[str, Any] = {"mode": "strict", "scheme": THEIRS[scheme], "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sklearn's, where nothing was predicted
        for score in SCORES:
            expected = getattr(seqeval, f"{score}_score")(true, said, **options)
            assert value(EntityF1(score=score), predictions, targets) == pytest.approx(expected)
        report = seqeval.classification_report(true, said, output_dict=True, **options)
    for kind in "XY":
        expected = report.get(kind, {"f1-score": 0.0})["f1-score"]
        assert value(EntityF1(type=kind), predictions, targets) == pytest.approx(expected)


def test_entities_by_hand() -> None:
    """One of two found, one of three predictions right: P 1/3, R 1/2, F1 2/5."""
    keys = ("type", "start", "end")
    said = [("X", 0, 2), ("X", 4, 5), ("Y", 7, 8)]
    true = [("X", 0, 2), ("Y", 4, 5)]
    sides = [
        [{"entities": [dict(zip(keys, e, strict=True)) for e in side]}] for side in (said, true)
    ]
    assert [value(EntityF1(score=score), *sides) for score in SCORES] == pytest.approx(
        [2 / 5, 1 / 3, 1 / 2]
    )
    assert value(EntityF1(type="X"), *sides) == pytest.approx(2 / 3)
    assert EntityF1(score="recall", type="X").label == "entity-recall (X)"


# English: SQuAD 2.0's rules, character by character


def plain(text: str) -> list[str]:
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    for article in ("a", "an", "the"):
        kept = re.sub(rf"(?<!\w){article}(?!\w)", " ", kept)
    return kept.split()


def overlap(a: list[str], b: list[str]) -> float:
    if not a or not b:
        return float(a == b)
    rest, common = list(b), 0
    for word in a:
        if word in rest:
            rest.remove(word)
            common += 1
    precision, recall = common / len(a), common / len(b)
    return 2 * precision * recall / (precision + recall) if common else 0.0


phrases = st.text("aAn The.,'-é1 \t", max_size=14)


@given(phrases, st.lists(phrases, max_size=3))
def test_english_answers_score_by_the_official_rules(said: str, answers: list[str]) -> None:
    kept = [text for text in answers if plain(text)] or [""]
    prediction, target = [{"answer": said}], [{"answers": answers}]
    exact = max(float(plain(said) == plain(text)) for text in kept)
    assert value(ExactMatch(), prediction, target) == exact
    assert value(AnswerF1(), prediction, target) == pytest.approx(
        max(overlap(plain(said), plain(text)) for text in kept)
    )


@pytest.mark.parametrize(
    ("said", "answers", "exact", "f1"),
    [
        ("the Denver Broncos", ["Denver Broncos"], 1, 1),
        ("Denver", ["Denver Broncos", "The Broncos"], 0, 2 / 3),
        ("U.S.A.", ["usa"], 1, 1),
        ("twenty-one", ["twenty one"], 0, 0),
        ("nothing", [], 0, 0),
        ("", [], 1, 1),
        ("the", [], 1, 1),
        ("", ["something"], 0, 0),
        ("x", ["the", "x"], 1, 1),
    ],
)
def test_english_answers_by_hand(said: str, answers: list[str], exact: float, f1: float) -> None:
    prediction, target = [{"answer": said}], [{"answers": answers}]
    assert value(ExactMatch(), prediction, target) == exact
    assert value(AnswerF1(), prediction, target) == pytest.approx(f1)


# Chinese: CMRC 2018's rules


@pytest.mark.parametrize(
    ("said", "answers", "exact", "f1"),
    [
        ("《红楼梦》", ["红楼梦"], 1, 1),  # signs do not count
        ("红楼", ["红楼梦"], 0, 2 * 2 / (2 + 3)),
        ("红梦楼", ["红楼梦"], 0, 2 * 1 / 6),  # a run without a gap, not a bag of characters
        ("1997年", ["1997年7月"], 0, 2 * 2 / (2 + 4)),  # a number is one unit
        ("Hello World队", ["hello world 队"], 0, 1),  # F1 sees no blanks, exact match does
        ("iPhone", ["iPad", "苹果iPhone"], 0, 2 * 1 / (1 + 3)),
        ("!", ["!"], 1, 1),  # an ASCII exclamation mark is not among the signs
        ("有", ["无"], 0, 0),
        ("", [], 1, 1),
    ],
)
def test_chinese_answers_by_hand(said: str, answers: list[str], exact: float, f1: float) -> None:
    prediction, target = [{"answer": said}], [{"answers": answers}]
    assert value(ExactMatch(language="zh"), prediction, target) == exact
    assert value(AnswerF1(language="zh"), prediction, target) == pytest.approx(f1)


def longest_run(a: list[str], b: list[str]) -> int:
    runs = {tuple(a[i:j]) for i in range(len(a)) for j in range(i + 1, len(a) + 1)}
    return max(
        (len(run) for run in runs if any(tuple(b[i : i + len(run)]) == run for i in range(len(b)))),
        default=0,
    )


@given(st.text("天地人ab ，、", max_size=9), st.text("天地人ab ，、", min_size=1, max_size=9))
def test_chinese_overlap_is_the_longest_common_run(said: str, true: str) -> None:
    a, b = (
        re.findall("[天地人]|[ab]+", text.replace("，", "").replace("、", ""))
        for text in (said, true)
    )
    found = value(AnswerF1(language="zh"), [{"answer": said}], [{"answers": [true]}])
    if a and b:
        assert found == pytest.approx(2 * longest_run(a, b) / (len(a) + len(b)))
