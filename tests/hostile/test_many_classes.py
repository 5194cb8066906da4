"""Twenty thousand classes: what knows one number per class takes no memory for their products."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from luban.core.contracts import Task
from luban.core.errors import UnknownLabelError
from luban.data.baselines.naive_bayes import NaiveBayes
from luban.data.baselines.ridge import Ridge
from tests.hostile.bounded import bounded

CLASSES, VOCABULARY, EXAMPLES = 20_000, 30_000, 40_000
_MOST = 300 * 2**20  #: bytes; a table of classes by vocabulary takes 4.8 GB, of classes² 3.2 GB


def _naive_bayes() -> str:
    labels = np.arange(EXAMPLES) % CLASSES
    tokens = np.stack([labels, labels + 1, labels % 7], axis=1).ravel()
    lengths = np.full(EXAMPLES, 3)
    made = NaiveBayes(tokens, lengths, labels, vocabulary=VOCABULARY, classes=CLASSES)
    right = [made.scores(tokens[3 * i : 3 * i + 3]).argmax() == labels[i] for i in range(50)]
    return "" if all(right) else f"{sum(right)} of 50 are right"


def _ridge() -> str:
    labels = np.arange(500) * (CLASSES // 500)
    pixels = np.random.default_rng(0).integers(0, 256, (500 * 8, 8, 3), np.uint8)
    made = Ridge(pixels, labels, 500, CLASSES)
    found = made.scores(pixels[:8])
    return "" if found.shape == (CLASSES,) and np.isfinite(found).all() else "no scores"


@pytest.mark.parametrize("work", [_naive_bayes, _ridge])
def test_baselines_of_many_classes(work: Callable[[], str]) -> None:
    outcome = bounded(work)
    assert not outcome.problem(), outcome.problem()
    assert not outcome.said
    assert outcome.memory < _MOST, f"{outcome.memory / 2**20:.0f} MiB"


def test_many_labels_are_looked_up_in_no_time() -> None:
    """Also those of no training record: validate and prepare make an error of each."""
    fields = {"name": "text-classification", "tokenizer": "char", "max_length": 8}
    rows = [{"text": "a", "label": f"class {n}"} for n in range(CLASSES)]
    learned = Task.from_dict(fields).learn(rows)
    start = time.process_time()
    for n in range(300):
        learned.encode(rows[-n])
        with pytest.raises(UnknownLabelError, match="class 0, class 1, class 10, "):
            learned.encode({"text": "a", "label": f"klass {n}"})
    assert time.process_time() - start < 1
