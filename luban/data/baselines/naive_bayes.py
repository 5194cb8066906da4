"""Naive Bayes over token counts: what single words tell of a class."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

_CHUNK = 1 << 22  #: tokens counted at once, to bound memory


class NaiveBayes:
    """The multinomial model with one count added to each (McCallum and Nigam 1998).

    log P(token | class) = log(1 + n of the token in the class) - log(V + tokens of the class),
    kept for the pairs that occur: thousands of classes times a vocabulary fill no memory.

    Args:
        tokens: Ids of all training examples joined end to end.
        lengths: How many of them each example has, (N,).
        labels: The class of each example, (N,), every class at least once.
        vocabulary: How many ids there are, V.
        classes: How many classes there are, C.
    """

    def __init__(
        self, tokens: Array, lengths: Array, labels: Array, vocabulary: int, classes: int
    ) -> None:
        ends, labels = np.cumsum(lengths), np.asarray(labels, np.int64)
        pairs, times = np.empty(0, np.int64), np.empty(0, np.int64)
        for start in range(0, len(tokens), _CHUNK):
            part = np.asarray(tokens[start : start + _CHUNK], np.int64)
            owner = np.searchsorted(ends, np.arange(start, start + len(part)), side="right")
            found, counts = np.unique(part * classes + labels[owner], return_counts=True)
            pairs, times = _added(pairs, times, found, counts)
        said = np.bincount(pairs % classes, weights=times, minlength=classes)
        frequency = np.bincount(labels, minlength=classes)
        self._log_class = np.log(np.maximum(frequency, 1) / frequency.sum())
        self._log_total = np.log(vocabulary + said)
        self._class = pairs % classes
        self._log_count = np.log1p(times)
        self._starts = np.searchsorted(pairs, np.arange(vocabulary + 1) * classes)

    def scores(self, tokens: Array) -> Array:
        """Return the probability of each class, (C,), given the ids of one example."""
        ids = np.asarray(tokens, np.int64)
        first = self._starts[ids]
        sizes = self._starts[ids + 1] - first  # classes with each token
        ends = np.cumsum(sizes)
        places = np.arange(ends[-1] if len(ids) else 0) + np.repeat(first - ends + sizes, sizes)
        found = np.bincount(self._class[places], self._log_count[places], len(self._log_class))
        nats = self._log_class - len(ids) * self._log_total + found
        raised = np.exp(nats - nats.max())
        scores: Array = raised / raised.sum()
        return scores


def _added(pairs: Array, times: Array, more: Array, counts: Array) -> tuple[Array, Array]:
    """Return the sorted pairs of both, and how many times each occurs in both together."""
    every, places = np.unique(np.concatenate([pairs, more]), return_inverse=True)
    total = np.zeros(len(every), np.int64)
    np.add.at(total, places, np.concatenate([times, counts]))
    return every, total
