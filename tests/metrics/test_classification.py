"""Metrics of classifiers against scikit-learn, closed forms, and cases without an answer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from luban.core.contracts import Metric
from luban.core.intervals import measured
from luban.metrics.accuracy import Accuracy
from luban.metrics.auroc import Auroc
from luban.metrics.calibration_error import CalibrationError
from luban.metrics.f1 import F1
from luban.metrics.matthews import Matthews

NAMES = tuple("abcd")
EXCLUSIVE = [
    Accuracy(), F1(classes=NAMES), F1(classes=NAMES, average="micro"), Auroc(classes=NAMES),
    Matthews(classes=NAMES), CalibrationError(),
]  # fmt: skip
SEVERAL = [
    Accuracy(), F1(classes=NAMES), F1(classes=NAMES, average="micro"), Auroc(classes=NAMES),
    CalibrationError(classes=NAMES),
]  # fmt: skip


def value(metric: Metric, predictions: list[Any], targets: list[Any]) -> float:
    rows = [metric.statistics(p, t) for p, t in zip(predictions, targets, strict=True)]
    return metric.compute(np.asarray(rows, dtype=np.float64))


def exclusive(scores: np.ndarray[Any, Any], truth: list[int]) -> tuple[list[Any], list[Any]]:
    said = [
        {
            "label": NAMES[int(row.argmax())],
            "score": float(row.max()),
            "scores": dict(zip(NAMES, row.tolist(), strict=False)),
        }
        for row in scores
    ]
    return said, [{"label": NAMES[t]} for t in truth]


def several(
    scores: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]
) -> tuple[list[Any], list[Any]]:
    said = [
        {
            "labels": [n for n, s in zip(NAMES, row, strict=False) if s >= 0.5],
            "scores": dict(zip(NAMES, row.tolist(), strict=False)),
        }
        for row in scores
    ]
    true = [{"labels": [n for n, t in zip(NAMES, row, strict=False) if t]} for row in truth]
    return said, true


def drawn(size: int, classes: int, seed: int) -> np.ndarray[Any, Any]:
    """Scores with ties, each row summing to one."""
    raw = np.random.default_rng(seed).integers(1, 6, (size, classes)).astype(float)
    scores: np.ndarray[Any, Any] = raw / raw.sum(1, keepdims=True)
    return scores


@given(st.integers(2, 4), st.integers(1, 30), st.integers(0, 999))
def test_exclusive_classes_against_scikit_learn(classes: int, size: int, seed: int) -> None:
    scores = drawn(size, classes, seed)
    truth = np.random.default_rng(seed + 1).integers(0, classes, size).tolist()
    pairs, names = exclusive(scores, truth), NAMES[:classes]
    guess = scores.argmax(1)
    assert value(Accuracy(), *pairs) == pytest.approx(reference.accuracy_score(truth, guess))
    for average in ("macro", "micro"):
        assert value(F1(classes=names, average=average), *pairs) == pytest.approx(
            reference.f1_score(truth, guess, average=average, zero_division=0.0)
        )
    labels = list(range(classes))
    confusion = reference.confusion_matrix(truth, guess, labels=labels).astype(float)
    said, true, n = confusion.sum(0), confusion.sum(1), confusion.sum()
    spread = (n**2 - said @ said) * (n**2 - true @ true)
    got = value(Matthews(classes=names), *pairs)
    assert got == pytest.approx(reference.matthews_corrcoef(truth, guess) if spread else 0.0)


@given(st.integers(2, 4), st.integers(8, 40), st.integers(0, 999))
def test_auroc_of_exclusive_classes(classes: int, size: int, seed: int) -> None:
    scores = drawn(size, classes, seed)
    truth = [*range(classes), *np.random.default_rng(seed).integers(0, classes, size).tolist()]
    scores = np.concatenate([scores, drawn(classes, classes, seed + 2)])
    pairs = exclusive(scores, truth)
    expected = (
        reference.roc_auc_score(truth, scores[:, 1])
        if classes == 2
        else reference.roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    )
    assert value(Auroc(classes=NAMES[:classes]), *pairs) == pytest.approx(expected)


@given(st.integers(1, 4), st.integers(4, 30), st.integers(0, 999))
def test_several_labels_against_scikit_learn(classes: int, size: int, seed: int) -> None:
    generator, names = np.random.default_rng(seed), NAMES[:classes]
    scores = generator.integers(0, 11, (size, classes)) / 10
    truth = generator.integers(0, 2, (size, classes))
    truth[0], truth[1] = 0, 1  # every class has two sides
    pairs, guess = several(scores, truth), (scores >= 0.5).astype(int)
    assert value(Accuracy(), *pairs) == pytest.approx((guess == truth).all(1).mean())
    occur = (guess + truth).sum(0) > 0
    # A column alone would be read as two classes, so a second one that never occurs goes beside.
    wide = np.pad(truth, ((0, 0), (0, 1))), np.pad(guess, ((0, 0), (0, 1)))
    each = reference.f1_score(*wide, average=None, zero_division=0.0)[:-1]
    assert value(F1(classes=names), *pairs) == pytest.approx(each[occur].mean())
    assert value(F1(classes=names, average="micro"), *pairs) == pytest.approx(
        reference.f1_score(*wide, average="micro", zero_division=0.0)
    )
    areas = [reference.roc_auc_score(truth[:, c], scores[:, c]) for c in range(classes)]
    assert value(Auroc(classes=names), *pairs) == pytest.approx(np.mean(areas))


def ece(confidence: np.ndarray[Any, Any], right: np.ndarray[Any, Any], bins: int = 15) -> float:
    """Guo et al. 2017 word for word."""
    total, edges = 0.0, np.linspace(0, 1, bins + 1)
    for low, high in pairwise(edges):
        held = (confidence > low) & (confidence <= high)
        if held.any():
            gap = abs(confidence[held].mean() - right[held].mean())
            total += gap * held.sum() / len(confidence)
    return total


@given(st.integers(1, 60), st.integers(0, 999))
def test_calibration_error_is_that_of_the_paper(size: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    confidence, right = generator.uniform(0.01, 0.99, size), generator.integers(0, 2, size)
    said = [{"label": "a", "score": float(c)} for c in confidence]
    true = [{"label": "a" if r else "b"} for r in right]
    assert value(CalibrationError(), said, true) == pytest.approx(ece(confidence, right))
    table = confidence.reshape(-1, 1)
    assert value(CalibrationError(classes=("a",)), *several(table, right[:, None])) == (
        pytest.approx(ece(confidence, right))
    )


def test_a_bin_holds_its_upper_edge() -> None:
    said = [{"label": "a", "score": 0.5}, {"label": "a", "score": 0.6}]
    true = [{"label": "a"}, {"label": "b"}]
    apart, together = (0.5 + 0.6) / 2, (0.5 + 0.6 - 1) / 2
    assert value(CalibrationError(bins=2), said, true) == pytest.approx(apart)
    assert value(CalibrationError(bins=1), said, true) == pytest.approx(together)


def test_calibration_error_of_the_sure_and_the_honest() -> None:
    sure = [{"label": "a", "score": 1.0}] * 4
    true = [{"label": label} for label in "aaab"]
    assert value(CalibrationError(), sure, true) == pytest.approx(0.25)
    honest = [{"label": "a", "score": 0.75}] * 4
    assert value(CalibrationError(), honest, true) == pytest.approx(0.0)
    assert value(CalibrationError(), [{"label": "a", "score": 0.0}], [{"label": "b"}]) == 0.0


def test_a_guess_that_never_varies_is_worth_nothing() -> None:
    said, true = exclusive(np.tile([0.7, 0.2, 0.1, 0.0], (8, 1)), [0, 1, 2, 3] * 2)
    assert value(Matthews(classes=NAMES), said, true) == 0.0
    assert value(Auroc(classes=NAMES), said, true) == 0.5
    assert value(F1(classes=NAMES), said, true) == pytest.approx((2 * 2 / (8 + 2)) / 4)


@pytest.mark.parametrize("metric", EXCLUSIVE, ids=lambda m: m.label)
def test_one_class_only_is_a_number(metric: Metric) -> None:
    said, true = exclusive(drawn(3, 4, 0), [1, 1, 1])
    rows = [metric.statistics(p, t) for p, t in zip(said, true, strict=True)]
    claim = measured(metric, rows[:1], rounds=100)
    assert np.isfinite(metric.compute(np.asarray(rows)))
    assert all(np.isfinite(float(x or 0)) for x in (claim.value, claim.low, claim.high))


@pytest.mark.parametrize("metric", SEVERAL, ids=lambda m: m.label)
def test_no_label_at_all_is_a_number(metric: Metric) -> None:
    said, true = several(np.zeros((3, 4)), np.zeros((3, 4)))
    assert np.isfinite(value(metric, said, true))


@pytest.mark.parametrize("metric", EXCLUSIVE, ids=lambda m: m.label)
def test_scores_are_not_needed_for_what_is_certain(metric: Metric) -> None:
    true = [{"label": label} for label in "abca"]
    assert value(metric, true, true) == (1.0 if metric.higher_is_better else 0.0)


def test_labels_in_reports_differ() -> None:
    assert len({metric.label for metric in EXCLUSIVE}) == len(EXCLUSIVE)
