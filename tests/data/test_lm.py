"""Baselines: they sum to one, and equal a slow reading of the formulas."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luban.data.baselines.ngrams import KneserNey, Unigram, compressed_bits_per_byte

SIZE = 5
TOKENS = st.lists(st.integers(0, SIZE - 1), max_size=80).map(
    lambda tokens: np.array(tokens, np.uint16)
)


@given(train=TOKENS, context=TOKENS, order=st.integers(1, 5))
def test_probabilities_sum_to_one(train: Any, context: Any, order: int) -> None:
    model = KneserNey(train, SIZE, order=order)
    total = sum(math.exp(-model.nats(np.append(context, word))[-1]) for word in range(SIZE))
    assert total == pytest.approx(1, abs=1e-9)
    assert np.exp(-Unigram(train, SIZE).nats(np.arange(SIZE))).sum() == pytest.approx(1)


@given(train=TOKENS.filter(len), held=TOKENS, order=st.integers(1, 4))
@settings(max_examples=60)
def test_against_the_formulas(train: Any, held: Any, order: int) -> None:
    slow = Slow(train.tolist(), order)
    nats = KneserNey(train, SIZE, order=order).nats(held)
    words = held.tolist()
    for index, word in enumerate(words):
        expected = slow.chance(tuple(words[max(0, index - order + 1) : index]), word)
        assert math.exp(-nats[index]) == pytest.approx(expected, rel=1e-9)


class Slow:
    """Modified Kneser-Ney with dictionaries: Chen and Goodman (1998), equations 20 to 26."""

    def __init__(self, tokens: list[int], order: int) -> None:
        grams = [
            Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
            for n in range(1, order + 1)
        ]
        grams = [gram for gram in grams if gram]
        self.counts = [Counter(longer_gram[1:] for longer_gram in longer) for longer in grams[1:]]
        self.counts.append(grams[-1])
        self.discounts = [self._discounts(counts) for counts in self.counts]

    def chance(self, context: tuple[int, ...], word: int) -> float:
        return self._chance(context[max(0, len(context) - len(self.counts) + 1) :], word)

    def _chance(self, context: tuple[int, ...], word: int) -> float:
        below = self._chance(context[1:], word) if context else 1 / SIZE
        counts, discounts = self.counts[len(context)], self.discounts[len(context)]
        followers = [c for gram, c in counts.items() if gram[:-1] == context]
        if not followers:
            return below
        count = counts.get((*context, word), 0)
        kept = count - discounts[min(count, 3)]
        rest = sum(discounts[min(c, 3)] for c in followers)
        return (kept + rest * below) / sum(followers)

    @staticmethod
    def _discounts(counts: Counter[tuple[int, ...]]) -> list[float]:
        n = [sum(c == k for c in counts.values()) for k in range(5)]
        if not all(n[1:]):
            return [0.0, 0.5, 0.75, 0.75]
        y = n[1] / (n[1] + 2 * n[2])
        found = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
        return [0.0, *(min(max(d, 0.01), k) for k, d in enumerate(found, 1))]


def test_tiny_shakespeare(luban_data: Path) -> None:
    text = (luban_data / "tinyshakespeare/input.txt").read_bytes()
    tokens = np.frombuffer(text, np.uint8).astype(np.uint16)
    cut = int(len(tokens) * 0.9)
    nats = [
        float(KneserNey(tokens[:cut], 128, order=order).nats(tokens[cut:]).mean())
        for order in (1, 3, 5)
    ]
    unigram = Unigram(tokens[:cut], 128).nats(tokens[cut:]).mean()
    assert nats[0] == pytest.approx(unigram, abs=0.01)
    assert nats == sorted(nats, reverse=True)
    assert 1.5 < nats[2] < 1.65
    packed = compressed_bits_per_byte(text[cut:])
    assert nats[2] / math.log(2) < packed["lzma"] < packed["gzip"] < 4


def test_memory_is_bounded() -> None:
    tokens = np.arange(1000, dtype=np.uint16) % 7
    assert KneserNey(tokens, 7, max_tokens=100).trained_on == 100
