"""Error rates against jiwer's own over whole corpora."""

from __future__ import annotations

import jiwer
import numpy as np
import pytest

from luban.core.contracts import Metric
from luban.metrics.character_error_rate import CharacterErrorRate
from luban.metrics.real_time_factor import RealTimeFactor
from luban.metrics.word_error_rate import WordErrorRate

MEANT = ["the cat sat on the mat", "seven", "to be or not to be", "a b c d"]
SAID = ["the cat sat on a mat", "seven eleven", "to be", "b c x d"]


def value(metric: Metric, said: list[str], meant: list[str]) -> float:
    rows = [
        metric.statistics({"text": s}, {"text": m, "seconds": 1.0})
        for s, m in zip(said, meant, strict=True)
    ]
    return metric.compute(np.array(rows))


def test_rates_are_those_of_jiwer() -> None:
    assert value(WordErrorRate(), SAID, MEANT) == pytest.approx(jiwer.wer(MEANT, SAID))
    assert value(CharacterErrorRate(), SAID, MEANT) == pytest.approx(jiwer.cer(MEANT, SAID))


def test_chinese_counts_by_characters() -> None:
    assert value(WordErrorRate(), ["今天天气"], ["今天天气好"]) == pytest.approx(0.2)
    assert value(CharacterErrorRate(), ["今天天气"], ["今天天气好"]) == pytest.approx(0.2)
    assert value(WordErrorRate(), ["我用 python"], ["我用 rust 了"]) == pytest.approx(0.5)


def test_a_long_word_is_one_word() -> None:
    assert value(WordErrorRate(), ["thequickbrownfoxjumps"], ["seven"]) == 1.0


def test_nothing_said_and_nothing_meant() -> None:
    assert value(WordErrorRate(), ["", "x"], ["a b", ""]) == pytest.approx(1.5)
    assert value(WordErrorRate(), ["one two"], [""]) == 2.0
    assert value(CharacterErrorRate(), [""], [""]) == 0.0


def test_the_note_tells_the_edits() -> None:
    metric = WordErrorRate(normalised="texts compared in lower case")
    rows = np.array(
        [metric.statistics({"text": s}, {"text": m}) for s, m in zip(SAID, MEANT, strict=True)]
    )
    assert metric.note(rows) == "1 replaced, 5 missing, 2 added; texts compared in lower case"


def test_the_real_time_factor_is_what_was_measured() -> None:
    metric = RealTimeFactor(factor=0.25, how="measured once")
    rows = [metric.statistics(said, {}) for said in ({"text": "", "score": 0.0}, {"text": ""})]
    assert rows == [(0.25,), (0.0,)]
    assert metric.note(np.array(rows)) == "measured once"
