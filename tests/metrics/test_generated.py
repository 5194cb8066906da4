"""Metrics of translations and summaries against sacrebleu and rouge_score themselves."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import BLEU, CHRF, TER

from luban.core.contracts import Metric
from luban.core.intervals import measured
from luban.metrics.bleu import Bleu
from luban.metrics.chrf import Chrf
from luban.metrics.rouge import Rouge
from luban.metrics.ter import Ter

WORDS = "the a cat dog sat on mat ran, fast. and Slowly over lazy fox's 3,000"
PAIRS: list[tuple[Metric, Any]] = [
    (Bleu(), BLEU()),
    (Bleu(tokenize="zh"), BLEU(tokenize="zh")),
    (Bleu(tokenize="char"), BLEU(tokenize="char")),
    (Chrf(), CHRF()),
    (Chrf(word_order=2), CHRF(word_order=2)),
    (Ter(), TER()),
    (Ter(tokenize="zh"), TER(normalized=True, asian_support=True)),
]


def some(seed: int, words: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS.split(), k=words))


ENGLISH = (
    [some(i, 3 + i) for i in range(12)],
    [[some(i, 4 + i), some(i + 7, 4 + i)] for i in range(12)],
)
CHINESE = (
    ["床前明月光，疑是霜。", "举头望 GPT 明月", "低头", ""],
    [["床前明月光，疑是地上霜。"], ["举头望明月"], ["低头思故乡"], ["天地玄黄"]],
)
cases = pytest.mark.parametrize
both = cases(("texts", "references"), [ENGLISH, CHINESE], ids=["english", "chinese"])
each = cases(("metric", "library"), PAIRS, ids=lambda m: type(m).__name__)


def table(metric: Metric, texts: list[str], references: list[list[str]]) -> np.ndarray[Any, Any]:
    return np.asarray(
        [
            metric.statistics({"text": text}, {"references": those})
            for text, those in zip(texts, references, strict=True)
        ]
    )


@both
@each
def test_the_corpus_score_and_signature_are_sacrebleu_s(
    metric: Metric, library: Any, texts: list[str], references: list[list[str]]
) -> None:
    streams = [list(stream) for stream in zip(*references, strict=True)]
    if isinstance(metric, Bleu) and metric.tokenize == "13a" and references is CHINESE[1]:
        library = BLEU(effective_order=True)  # no reference has four words
    expected = library.corpus_score(texts, streams).score
    rows = table(metric, texts, references)
    assert metric.compute(rows) == pytest.approx(expected, abs=1e-9)
    assert metric.note(rows) == f"sacrebleu {library.get_signature().format()}"


@each
def test_references_may_differ_in_number(metric: Metric, library: Any) -> None:
    texts, references = ENGLISH[0][:3], [those[: 1 + i % 2] for i, those in enumerate(ENGLISH[1])]
    streams: list[list[str | None]] = [
        [those[k] if k < len(those) else None for those in references[:3]] for k in (0, 1)
    ]
    expected = library.corpus_score(texts, streams).score
    rows = table(metric, texts, references[:3])
    assert metric.compute(rows) == pytest.approx(expected)
    assert "nrefs:var" in metric.note(rows)


@each
def test_a_perfect_and_an_empty_translation(metric: Metric, library: Any) -> None:
    texts = ["The quick brown fox jumps.", "床前明月光"]
    perfect = metric.compute(table(metric, texts, [[text] for text in texts]))
    assert perfect == pytest.approx(100.0 if metric.higher_is_better else 0.0)
    empty = metric.compute(table(metric, ["", ""], [[text] for text in texts]))
    assert empty == (0.0 if metric.higher_is_better else 100.0)
    assert np.isfinite(metric.compute(table(metric, ["", "x"], [[""], []])))


def test_the_interval_comes_with_the_signature() -> None:
    rows = [tuple(row) for row in table(Bleu(), *ENGLISH).tolist()]
    claim = measured(Bleu(), rows, rounds=100)
    assert claim.note.startswith("sacrebleu nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert claim.low is not None
    assert claim.high is not None
    assert claim.low <= float(claim.value) <= claim.high


@cases("kind", ["rouge1", "rouge2", "rougeL"])
def test_rouge_is_rouge_score_s_best_of_references(kind: Any) -> None:
    scorer = RougeScorer([kind], use_stemmer=True)
    expected = [
        max(scorer.score(reference, text)[kind].fmeasure for reference in those)
        for text, those in zip(*ENGLISH, strict=True)
    ]
    metric = Rouge(type=kind)
    assert metric.compute(table(metric, *ENGLISH)) == pytest.approx(np.mean(expected))
    assert metric.label == kind


def overlap(a: str, b: str) -> float:
    shared = sum(min(a.count(c), b.count(c)) for c in set(a))
    return 2 * shared / (len(a) + len(b))


def test_chinese_is_compared_by_character() -> None:
    rows = table(Rouge(tokenize="characters"), ["床前明月，光！"], [["疑是明月光"]])
    assert rows[:, 0] == pytest.approx(overlap("床前明月光", "疑是明月光"))
    assert table(Rouge(), ["床前明月光"], [["床前明月光"]])[0, 0] == 1
    longest = Rouge(type="rougeL", tokenize="characters")
    assert table(longest, ["明月光床"], [["床明月光"]])[0, 0] == pytest.approx(0.75)


@cases("kind", ["rouge1", "rouge2", "rougeL"])
@cases("tokenize", ["words", "characters"])
def test_empty_summaries_share_nothing(kind: Any, tokenize: Any) -> None:
    metric = Rouge(type=kind, tokenize=tokenize)
    assert table(metric, ["", "x"], [["a b"], []]).tolist() == [[0.0], [0.0]]
