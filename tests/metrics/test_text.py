"""Metrics of text against brute force and closed forms."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luban.core.contracts import Metric
from luban.core.intervals import measured
from luban.core.unicode_text import characters
from luban.metrics._units import units
from luban.metrics.bits_per_byte import BitsPerByte
from luban.metrics.distinct import Distinct
from luban.metrics.loss import Loss
from luban.metrics.memorisation import Memorisation, longest_overlap
from luban.metrics.perplexity import Perplexity
from luban.metrics.repetition import Repetition

short = st.text("ab ", max_size=25)
windows = st.lists(
    st.tuples(st.floats(0, 500), st.integers(1, 60), st.integers(1, 200)), min_size=1, max_size=12
)


def value(metric: Metric, predictions: list[Any], targets: list[Any] | None = None) -> float:
    pairs = zip(predictions, targets or [None] * len(predictions), strict=True)
    return metric.compute(np.asarray([metric.statistics(p, t) for p, t in pairs], dtype=np.float64))


def said(rows: list[tuple[float, int, int]]) -> tuple[list[Any], list[Any]]:
    return [{"nats": n} for n, _, _ in rows], [{"tokens": t, "bytes": b} for _, t, b in rows]


@given(windows)
def test_loss_perplexity_and_bits_are_totals_over_totals(
    rows: list[tuple[float, int, int]],
) -> None:
    nats, tokens, size = (math.fsum(row[i] for row in rows) for i in range(3))
    predictions, targets = said(rows)
    assert value(Loss(), predictions, targets) == pytest.approx(nats / tokens)
    assert value(Perplexity(), predictions, targets) == pytest.approx(
        math.exp(min(nats / tokens, 700))
    )
    assert value(BitsPerByte(), predictions, targets) == pytest.approx(nats / math.log(2) / size)


def test_a_uniform_model_has_the_entropy_of_a_die() -> None:
    """V equally likely tokens of b bytes each: log V nats, perplexity V, log2(V)/b bits."""
    predictions, targets = said([(math.log(64) * t, t, 2 * t) for t in (3, 10, 7)])
    assert value(Loss(), predictions, targets) == pytest.approx(math.log(64))
    assert value(Perplexity(), predictions, targets) == pytest.approx(64)
    assert value(BitsPerByte(), predictions, targets) == pytest.approx(3)


def test_bits_per_byte_do_not_depend_on_the_tokenizer() -> None:
    """The same text and likelihood, cut into few or many tokens."""
    few, many = said([(30.0, 5, 40)]), said([(30.0, 40, 40)])
    assert value(BitsPerByte(), *few) == value(BitsPerByte(), *many)
    assert value(Loss(), *few) != value(Loss(), *many)


def test_a_long_window_weighs_more() -> None:
    predictions, targets = said([(10.0, 1, 1), (0.0, 9, 9)])
    assert value(Loss(), predictions, targets) == 1.0


def test_extremes_stay_numbers() -> None:
    predictions, targets = said([(1e9, 1, 1)])
    assert math.isfinite(value(Perplexity(), predictions, targets))
    assert value(BitsPerByte(), *said([(1.0, 1, 0)])) == math.inf


def distinct(text: str, n: int) -> float | None:
    parts = units(text)
    grams = ["\0".join(parts[i : i + n]) for i in range(len(parts) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None


@given(st.lists(short, min_size=1, max_size=5), st.integers(1, 4))
def test_distinct_against_brute_force(texts: list[str], n: int) -> None:
    shares = [share for text in texts if (share := distinct(text, n)) is not None]
    expected = sum(shares) / len(shares) if shares else 0.0
    assert value(Distinct(n=n), texts) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "n", "expected"),
    [
        ("a b c d", 1, 1.0),
        ("a a a a", 1, 0.25),
        ("a b a b", 2, 2 / 3),
        ("床前明月光床前", 1, 5 / 7),
    ],
)
def test_distinct(text: str, n: int, expected: float) -> None:
    assert value(Distinct(n=n), [text]) == pytest.approx(expected)
    assert Distinct(n=n).label == f"distinct-{n}"


def repetition(text: str, n: int, window: int) -> tuple[int, int]:
    parts = units(text)
    grams = [parts[i : i + n] for i in range(len(parts) - n + 1)]
    repeated = sum(gram in grams[max(0, i - window) : i] for i, gram in enumerate(grams))
    return repeated, len(grams)


@given(st.lists(short, min_size=1, max_size=5), st.integers(1, 3), st.integers(1, 6))
def test_repetition_against_brute_force(texts: list[str], n: int, window: int) -> None:
    counts = [repetition(text, n, window) for text in texts]
    total = sum(c for _, c in counts)
    expected = sum(r for r, _ in counts) / total if total else 0.0
    assert value(Repetition(n=n, window=window), texts) == pytest.approx(expected)


def test_repetition_of_a_stuck_model_and_of_one_that_says_new_things() -> None:
    assert value(Repetition(), ["ha " * 200]) == pytest.approx(196 / 197)
    assert value(Repetition(), [" ".join(map(str, range(200)))]) == 0.0


def overlap(text: str, reference: str) -> int:
    spans = ((i, j) for i in range(len(text)) for j in range(i, len(text) + 1))
    return max((j - i for i, j in spans if text[i:j] in reference), default=0)


@given(short, short)
def test_longest_overlap_against_brute_force(text: str, reference: str) -> None:
    assert longest_overlap(text, reference) == overlap(text, reference)


@given(short, short, short)
def test_what_was_copied_is_found_whole(before: str, copied: str, after: str) -> None:
    assert longest_overlap(f"{before}X{copied}Y{after}", f"..{copied}..") >= len(copied)


def test_memorisation_is_the_mean_over_texts() -> None:
    metric = Memorisation().against("the quick brown fox")
    assert value(metric, ["a quick one", "nothing", "brown fox!"]) == pytest.approx(
        (len(" quick ") + 2 + len("brown fox")) / 3
    )
    assert value(Memorisation(), ["x"]) == 0.0, "nothing to have memorised"


def test_looking_for_overlaps_leaves_the_metric_alone() -> None:
    plain = Memorisation()
    plain.against("abc")
    assert value(plain, ["abc"]) == 0.0


def test_a_memorised_text_stands_out_in_a_large_reference() -> None:
    generator = random.Random(0)
    reference = "".join(generator.choices("abcdefgh ", k=200_000))
    fresh = "".join(generator.choices("abcdefgh ", k=300))
    metric = Memorisation().against(reference)
    assert value(metric, [reference[77_000:77_300]]) == 300
    assert 3 <= value(metric, [fresh]) <= 12


@given(st.text(max_size=60))
def test_units_lose_nothing_but_blanks(text: str) -> None:
    assert "".join(units(text)) == "".join(text.split())


def test_units_are_words_or_characters() -> None:
    assert units("to be or") == ["to", "be", "or"]
    assert units("床前明月光，\n疑是 地上霜。") == list("床前明月光，疑是地上霜。")
    assert units("GPT 模型 of 鲁班") == ["GPT", "模", "型", "of", "鲁", "班"]
    assert units("ฉันรักภาษาไทยมากที่สุด") == characters("ฉันรักภาษาไทยมากที่สุด")
    assert units("") == []


@pytest.mark.parametrize("metric", [Loss(), Perplexity(), BitsPerByte()])
def test_intervals_hold_the_value(metric: Metric) -> None:
    generator = np.random.default_rng(0)
    predictions, targets = said([(float(n), 10, 40) for n in generator.gamma(4, 5, 50)])
    rows = [metric.statistics(p, t) for p, t in zip(predictions, targets, strict=True)]
    claim = measured(metric, rows, rounds=200)
    assert claim.low is not None
    assert claim.high is not None
    assert isinstance(claim.value, float)
    assert claim.low < claim.value < claim.high
    assert claim.n == 50
