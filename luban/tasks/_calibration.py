"""What is tuned on validation data after training: a temperature, and thresholds.

Shapes: N examples, C classes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

#: Temperatures that are believed: beyond them validation data are too few, or all right.
COLDEST, HOTTEST = 0.05, 20.0


def softmax(logits: Array) -> Array:
    """Return exp(z) over its sum, (N, C)."""
    raised = np.exp(logits - logits.max(1, keepdims=True))
    scores: Array = raised / raised.sum(1, keepdims=True)
    return scores


def sigmoid(logits: Array) -> Array:
    """Return 1 / (1 + exp(-z)), from the half-angle tangent, which never overflows."""
    scores: Array = (1 + np.tanh(logits / 2)) / 2
    return scores


def best_temperature(logits: Array, labels: Array) -> float:
    """Return the T that makes softmax(z / T) most likely (Guo et al. 2017, 1706.04599).

    The loss -sum_c q_c log p_c is convex in b = 1/T; its slope, the mean of sum_c (p_c - q_c) z_c,
    is bisected. As in Platt (1999), q is not quite one at the label but what Laplace's rule makes
    of N right answers, so that a few of them are no proof of certainty.

    Args:
        logits: z, shape (N, C), N >= 1, C >= 2.
        labels: y, shape (N,).
    """
    size, classes = logits.shape
    wrong = (classes - 1) / (size + classes)
    q = np.full_like(logits, wrong / (classes - 1))
    q[np.arange(size), labels] = 1 - wrong

    def slope(b: float) -> float:
        return float(((softmax(b * logits) - q) * logits).sum(1).mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    first, last = slope(low), slope(high)
    if not first < 0 < last:  # the best lies outside, or no temperature changes anything
        return COLDEST if first < 0 else HOTTEST if last > 0 else 1.0
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(1 / (low * high) ** 0.5)


def best_threshold(scores: Array, truth: Array) -> float:
    """Return the threshold whose F1 is the highest, in the middle of a gap between scores.

    Args:
        scores: Shape (N,), 0 to 1; what reaches the threshold is taken for true.
        truth: Shape (N,), 0 or 1; without a single 1 the threshold stays 0.5.
    """
    if not truth.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    below = np.append(ranked[1:], 0.0)
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + truth.sum())
    f1 = np.where(ranked > below, f1, -1.0)  # equal scores cannot be told apart
    if f1.max() < 0:
        return 0.5
    best = int(f1.argmax())
    return float((ranked[best] + below[best]) / 2)
