"""What is tuned on validation data after training, and kept only where it helps.

A value fitted to few examples may be worse than none: what ``kept`` returns improves on the
default both on the examples it was fitted to and, by cross-validation, on others.

Shapes: N examples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

#: Temperatures that are considered.
COLDEST, HOTTEST = 0.05, 20.0
#: The threshold of a score where none is tuned.
HALF = 0.5

_FOLDS = 5


def softmax(logits: Array) -> Array:
    """Return exp(z) over its sum, (N, C)."""
    raised = np.exp(logits - logits.max(1, keepdims=True))
    scores: Array = raised / raised.sum(1, keepdims=True)
    return scores


def sigmoid(logits: Array) -> Array:
    """Return 1 / (1 + exp(-z)), from the half-angle tangent, which never overflows."""
    scores: Array = (1 + np.tanh(logits / 2)) / 2
    return scores


def kept(
    size: int,
    default: float,
    fit: Callable[[Array], float],
    statistics: Callable[[float, Array], Array],
    quality: Callable[[Array], Any],
) -> float:
    """Return the value fitted to all examples if it is better than the default, else the default.

    Better means both on these examples and by five-fold cross-validation (Stone 1974): each fold
    is judged with the value fitted to the other folds, and the statistics of all folds are added.
    So on the examples given, the value returned is never worse than the default.

    Args:
        size: Number of examples, N.
        default: The value without tuning.
        fit: Takes indices of examples and returns the value that fits them best.
        statistics: Takes a value and indices; returns sums over these examples, shape (K,).
        quality: Takes sums (K,) and returns what is compared; more is better.
    """
    every = np.arange(size)
    if size < 2:
        return default
    found, plain = fit(every), quality(statistics(default, every))
    if not quality(statistics(found, every)) > plain:
        return default
    folds = np.array_split(np.random.default_rng(0).permutation(size), min(_FOLDS, size))
    judged = sum(statistics(fit(np.setdiff1d(every, fold)), fold) for fold in folds)
    return found if quality(np.asarray(judged)) > plain else default


def best_temperature(logits: Array, labels: Array) -> float:
    """Return the T of the most likely softmax(z / T) (Guo et al. 2017, 1706.04599), or 1.

    It stays 1 unless labels are likelier with a T that was fitted to other examples, by more
    than one standard error (Breiman et al. 1984); and where all labels have the highest logit:
    then every lower T is likelier, and none is the best.

    Args:
        logits: z, shape (N, C), N >= 1, C >= 2.
        labels: y, shape (N,).
    """

    def gains(temperature: float, some: Array) -> Array:
        true = labels[some]
        gain = _log_likelihood(logits[some] / temperature, true) - plain[some]
        return np.array([gain.sum(), np.square(gain).sum()])

    plain = _log_likelihood(logits, labels)
    found = kept(
        len(logits),
        1.0,
        lambda some: _likeliest(logits[some], labels[some]),
        gains,
        lambda sums: float(sums[0] - sums[1] ** 0.5),
    )
    return 1.0 if found == COLDEST else found


def best_threshold(scores: Array, truth: Array) -> float:
    """Return the threshold whose F1 is the highest, or 0.5 unless cross-validated F1 improves.

    Args:
        scores: Shape (N,), 0 to 1; what reaches the threshold is taken for true.
        truth: Shape (N,), 0 or 1.
    """
    truth = truth.astype(bool)

    def counts(threshold: float, some: Array) -> Array:
        said = scores[some] >= threshold
        return np.array([(said & truth[some]).sum(), said.sum() + truth[some].sum()])

    return kept(
        len(scores), HALF, lambda some: highest_f1(scores[some], truth[some]), counts, f1_of
    )


def best_detection_threshold(images: Sequence[tuple[Array, Array, int]]) -> float:
    """Return the threshold of scores with the highest F1, or 0.5 unless it helps elsewhere.

    Args:
        images: Of each the scores of what was found, whether it is right, and how many objects
            there are.
    """

    def joined(some: Array) -> tuple[Array, Array, int]:
        scores, right, there = zip(*(images[number] for number in some), strict=True)
        return np.concatenate(scores), np.concatenate(right), sum(there)

    def counts(threshold: float, some: Array) -> Array:
        scores, right, there = joined(some)
        told = scores >= threshold
        return np.array([(told & right).sum(), told.sum() + there])

    return kept(len(images), HALF, lambda some: highest_f1(*joined(some)), counts, f1_of)


def f1_of(counts: Array) -> float:
    """Return F1 of (true positives, predicted plus true ones); 0 where nothing occurs."""
    return float(2 * counts[0] / counts[1]) if counts[1] else 0.0


def highest_f1(scores: Array, right: Array, there: int | None = None) -> float:
    """Return the threshold with the highest F1, in the middle of a gap between scores.

    Args:
        scores: Shape (N,), 0 to 1.
        right: Whether each is right, (N,).
        there: How many right ones there are to be found (None: those among ``right``).
    """
    there = int(right.sum()) if there is None else there
    if not len(scores) or not right.any():
        return HALF
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(right[order])
    below = np.append(ranked[1:], 0.0)
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + there)
    f1[:-1][ranked[:-1] == below[:-1]] = -1.0  # equal scores cannot be told apart
    best = int(f1.argmax())
    middle = float((ranked[best] + below[best]) / 2)
    return middle if middle > below[best] else float(ranked[best])


def _log_likelihood(logits: Array, labels: Array) -> Array:
    """Return log softmax(z)_y of each example, (N,)."""
    shifted = logits - logits.max(1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(1))
    found: Array = shifted[np.arange(len(labels)), labels] - log_total
    return found


def _likeliest(logits: Array, labels: Array) -> float:
    """Return the likeliest temperature between the bounds.

    The loss -log p_y is convex in b = 1/T; its slope, the mean of sum_c p_c z_c - z_y, is
    bisected.
    """
    true = logits[np.arange(len(labels)), labels]

    def slope(b: float) -> float:
        return float(((softmax(b * logits) * logits).sum(1) - true).mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    first, last = slope(low), slope(high)
    if not first < 0 < last:  # the best lies outside, or no temperature changes anything
        return COLDEST if first < 0 else HOTTEST if last > 0 else 1.0
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(1 / (low * high) ** 0.5)
