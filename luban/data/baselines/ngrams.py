"""Trivial language models to compare with: counts, Kneser-Ney, and what compressors reach."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"


class Unigram:
    """How often each token occurs, plus one (Laplace smoothing).

    Args:
        tokens: Training tokens, (N,).
        size: Vocabulary size.
    """

    def __init__(self, tokens: Array, size: int) -> None:
        counts = np.bincount(tokens, minlength=size) + 1
        self._nats = -np.log(counts / counts.sum())

    def nats(self, tokens: Array) -> Array:
        """Return each token's negative log-likelihood, float64 (N,)."""
        return np.asarray(self._nats[tokens])


class KneserNey:
    """Interpolated modified Kneser-Ney n-grams.

    Source: Chen and Goodman (1998), An Empirical Study of Smoothing Techniques for Language
    Modeling, section 3 (modified Kneser-Ney); the lowest order is mixed with the uniform
    distribution, so that every token has some probability.

    Args:
        tokens: Training tokens, (N,); only the first ``max_tokens`` are counted, which bounds
            memory to about 100 bytes each.
        size: Vocabulary size.
        order: Length of the longest n-gram.
        max_tokens: How many tokens are counted.
    """

    def __init__(
        self, tokens: Array, size: int, *, order: int = 5, max_tokens: int = 5_000_000
    ) -> None:
        seen = np.asarray(tokens[:max_tokens]).astype(np.int64)
        self._size, self.trained_on = size, len(seen)
        grams = [_Grams(np.arange(size), seen, np.bincount(seen, minlength=size))]
        for _ in range(1, order):
            longer = _lengthen(grams[-1], seen, size)
            if longer is None:
                break
            grams.append(longer)
        self._levels = []
        for k, gram in enumerate(grams):
            contexts = len(grams[k - 1].keys) if k else 1
            counts = gram.counts if k == len(grams) - 1 else grams[k + 1].continued
            self._levels.append(_level(gram.keys, counts, contexts, size))

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Self:
        """Return the model that ``arrays`` gave.

        Raises:
            KeyError: if one is missing.
        """
        model = cls.__new__(cls)
        model._size, model.trained_on = (int(n) for n in arrays["sizes"])
        parts = ("keys", "kept", "rest")
        count = sum(name.startswith("keys") for name in arrays)
        model._levels = [
            _Level(*(arrays[f"{part}{level}"] for part in parts)) for level in range(count)
        ]
        return model

    def arrays(self) -> dict[str, Array]:
        """Return all there is to keep, by name."""
        found = {"sizes": np.array([self._size, self.trained_on])}
        for number, level in enumerate(self._levels):
            found |= {f"{part}{number}": getattr(level, part) for part in ("keys", "kept", "rest")}
        return found

    def following(self, context: Sequence[int]) -> Array:
        """Return the log-probability of each token after some others, float64 (size,)."""
        known = [0]  # the n-gram at the end of what was read, by its length
        for token in list(context)[1 - len(self._levels) :] if len(self._levels) > 1 else ():
            lengths = zip(self._levels, known, strict=False)
            known = [0, *(level.find(at * self._size + token, at) for level, at in lengths)]
        words, chance = np.arange(self._size), np.full(self._size, 1 / self._size)
        for level, at in zip(self._levels, known, strict=False):
            ids = np.full(self._size, at)
            _, chance = level.mix(ids * self._size + words, ids, chance)
        return np.asarray(np.log(chance))

    def nats(self, tokens: Array) -> Array:
        """Return each token's negative log-likelihood given those before it, float64 (N,)."""
        words = np.asarray(tokens).astype(np.int64)
        context = np.zeros(len(words), np.int64)
        chance = np.full(len(words), 1 / self._size)
        for level in self._levels:
            found, chance = level.mix(context * self._size + words, context, chance)
            context = np.concatenate([[-1], found[:-1]])
        return np.asarray(-np.log(chance))


@dataclass(frozen=True, slots=True)
class _Grams:
    """All distinct k-grams of the training tokens.

    Attributes:
        keys: Sorted; context id (among the (k-1)-grams) times vocabulary size plus last token.
        ids: Which k-gram ends at each position, from position k-1 on.
        counts: How often each k-gram occurs.
        continued: In how many k-grams each (k-1)-gram is the end (``N1+``).
    """

    keys: Array
    ids: Array
    counts: Array
    continued: Array | None = None


def _lengthen(shorter: _Grams, tokens: Array, size: int) -> _Grams | None:
    pairs = shorter.ids[:-1] * size + tokens[len(tokens) - len(shorter.ids) + 1 :]
    if not len(pairs):
        return None
    keys, first, ids, counts = np.unique(
        pairs, return_index=True, return_inverse=True, return_counts=True
    )
    ends = shorter.ids[1:][first]
    return _Grams(keys, ids, counts, np.bincount(ends, minlength=len(shorter.keys)))


@dataclass(frozen=True, slots=True)
class _Level:
    """One order of the model.

    Attributes:
        keys: As in ``_Grams``.
        kept: Count less discount of each k-gram, over its context's total.
        rest: Share that each context leaves to the order below; 1 for one without counts.
    """

    keys: Array
    kept: Array
    rest: Array

    def find(self, key: int, context: int) -> int:
        """Return the id of a k-gram; -1: it, or its context, was never seen."""
        place = min(int(np.searchsorted(self.keys, key)), len(self.keys) - 1)
        return place if context >= 0 and self.keys[place] == key else -1

    def mix(self, keys: Array, contexts: Array, below: Array) -> tuple[Array, Array]:
        """Return the ids of k-grams (-1: never seen) and their probabilities."""
        known = contexts >= 0
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found = np.where(known & (self.keys[places] == keys), places, -1)
        rest = np.where(known, self.rest[contexts], 1.0)
        return found, np.where(found >= 0, self.kept[places], 0.0) + rest * below


def _level(keys: Array, counts: Array | None, contexts: int, size: int) -> _Level:
    values = np.asarray(counts)
    owners = keys // size
    discounts = _discounts(values)[np.minimum(values, 3)]
    totals = np.bincount(owners, weights=values, minlength=contexts)
    taken = np.bincount(owners, weights=discounts, minlength=contexts)
    safe = np.maximum(totals, 1)
    kept = (values - discounts) / safe[owners]
    return _Level(keys, kept, np.where(totals > 0, taken / safe, 1.0))


def _discounts(counts: Array) -> Array:
    """Return what is taken from counts of 0, 1, 2 and 3 or more (their equation 26)."""
    n1, n2, n3, n4 = (int(np.count_nonzero(counts == n)) for n in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return np.array([0.0, 0.5, 0.75, 0.75])
    y = n1 / (n1 + 2 * n2)
    found = [0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
    return np.clip(found, [0.0, 0.01, 0.01, 0.01], [0.0, 1.0, 2.0, 3.0])


def compressed_bits_per_byte(text: bytes) -> dict[str, float]:
    """Return the bits per byte that gzip (level 9) and lzma (preset 9) need for a text."""
    sizes = {"gzip": len(gzip.compress(text, 9)), "lzma": len(lzma.compress(text, preset=9))}
    return {name: 8 * size / max(1, len(text)) for name, size in sizes.items()}
