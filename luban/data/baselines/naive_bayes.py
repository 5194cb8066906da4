"""Naive Bayes over token counts: what single words tell of a class."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

_CHUNK = 1 << 22  #: tokens counted at once, to bound memory


class NaiveBayes:
    """The multinomial model with one count added to each (McCallum and Nigam 1998).

    Args:
        tokens: Ids of all training examples joined end to end.
        lengths: How many of them each example has, (N,).
        labels: The class of each example, (N,), every class at least once.
        vocabulary: How many ids there are.
        classes: How many classes there are.
    """

    def __init__(
        self, tokens: Array, lengths: Array, labels: Array, vocabulary: int, classes: int
    ) -> None:
        counts = np.ones(classes * vocabulary)
        ends, labels = np.cumsum(lengths), np.asarray(labels, np.int64)
        for start in range(0, len(tokens), _CHUNK):
            part = np.asarray(tokens[start : start + _CHUNK], np.int64)
            owner = np.searchsorted(ends, np.arange(start, start + len(part)), side="right")
            counts += np.bincount(labels[owner] * vocabulary + part, minlength=len(counts))
        table = counts.reshape(classes, vocabulary)
        self._log_token = np.log(table / table.sum(1, keepdims=True))
        frequency = np.bincount(labels, minlength=classes)
        self._log_class = np.log(np.maximum(frequency, 1) / frequency.sum())

    def scores(self, tokens: Array) -> Array:
        """Return the probability of each class, (C,), given the ids of one example."""
        nats = self._log_class + self._log_token[:, np.asarray(tokens, np.int64)].sum(1)
        raised = np.exp(nats - nats.max())
        scores: Array = raised / raised.sum()
        return scores
