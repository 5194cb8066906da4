"""What is tuned on validation data is never worse there than what is not tuned, nor much elsewhere.

Shapes: N examples, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss

from luban.tasks.answers.calibration import (
    best_temperature,
    best_threshold,
    highest_f1,
    kept,
    sigmoid,
    softmax,
)
from luban.tasks.answers.labels import Labels

Array = np.ndarray[Any, Any]
SIZES, CLASSES, OVERCONFIDENCE = (2, 5, 20, 100, 500), (2, 3, 10), (0.5, 1.0, 3.0)

cases = pytest.mark.parametrize


def drawn(rng: np.random.Generator, size: int, classes: int, sure: float) -> tuple[Array, Array]:
    """Return logits, and labels drawn from their softmax divided by ``sure``."""
    logits = rng.normal(0, rng.choice([0.5, 2, 5]), (size, classes))
    labels = (softmax(logits).cumsum(1) > rng.random((size, 1))).argmax(1)
    return logits * sure, labels


def loss(logits: Array, labels: Array) -> float:
    return float(log_loss(labels, softmax(logits), labels=np.arange(logits.shape[1])))


@cases("sure", OVERCONFIDENCE)
@cases("classes", CLASSES)
@cases("size", SIZES)
def test_a_temperature_never_lowers_the_likelihood_of_what_it_was_fitted_to(
    size: int, classes: int, sure: float
) -> None:
    rng = np.random.default_rng([size, classes, int(10 * sure)])
    for _ in range(8):
        logits, labels = drawn(rng, size, classes, sure)
        found = best_temperature(logits, labels)
        assert loss(logits / found, labels) <= loss(logits, labels) + 1e-12


@cases("sure", OVERCONFIDENCE)
@cases("classes", CLASSES)
def test_a_temperature_helps_where_scores_are_wrong_and_rarely_harms(
    classes: int, sure: float
) -> None:
    """On new examples of the same distribution, after a fit to 200."""
    rng = np.random.default_rng([classes, int(10 * sure)])
    gains = []
    for _ in range(12):
        scale = rng.choice([1, 3])
        logits = rng.normal(0, scale, (2200, classes))
        labels = (softmax(logits).cumsum(1) > rng.random((2200, 1))).argmax(1)
        found = best_temperature(sure * logits[:200], labels[:200])
        new, true = sure * logits[200:], labels[200:]
        gains.append(loss(new, true) - loss(new / found, true))
    assert np.mean(gains) >= (-0.005 if sure == 1 else 0.02)
    assert min(gains) >= -0.05


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=40))
@settings(max_examples=150)
def test_a_threshold_never_lowers_f1_on_what_it_was_fitted_to(
    rows: list[tuple[int, bool]],
) -> None:
    scores = np.array([score / 20 for score, _ in rows])
    truth = np.array([true for _, true in rows])

    def f1(threshold: float) -> float:
        return float(f1_score(truth, scores >= threshold, zero_division=0.0))

    assert f1(best_threshold(scores, truth)) >= f1(0.5)
    assert f1(highest_f1(scores, truth)) >= f1(0.5)


@cases("size", SIZES)
def test_several_thresholds_never_lower_macro_f1_on_what_they_were_fitted_to(size: int) -> None:
    rng = np.random.default_rng(size)
    for _ in range(10):
        logits = rng.normal(0, 2, (size, 4))
        truth = (rng.random((size, 4)) < sigmoid(logits - [0, 1, 2, -1])).astype(int)
        raw = Labels(tuple("abcd"), several=True)
        tuned = raw.tuned(logits, truth, threshold=False)
        assert macro_f1(tuned, logits, truth) >= macro_f1(raw, logits, truth) - 1e-12


def macro_f1(labels: Labels, logits: Array, truth: Array) -> float:
    said = [labels.said(row)["labels"] for row in labels.scores(logits)]
    table = [[name in one for name in labels.names] for one in said]
    return float(f1_score(truth, np.array(table), average="macro", zero_division=0.0))


def test_what_was_fitted_by_chance_is_not_kept() -> None:
    """A value that is right for the examples it was fitted to and for no other."""
    values = np.random.default_rng(0).normal(size=50)

    def fit(some: Array) -> float:
        return float(values[some].max())

    def right(value: float, some: Array) -> Array:
        return np.array([(values[some] == value).sum()])

    assert kept(50, 9.0, fit, right, lambda sums: float(sums[0])) == 9.0
    assert kept(50, 9.0, lambda some: 1.0, lambda v, some: np.array([-abs(v)]), lambda s: s[0]) == 1
    assert kept(1, 9.0, lambda some: 1.0, lambda v, some: np.array([-v]), lambda s: s[0]) == 9.0
