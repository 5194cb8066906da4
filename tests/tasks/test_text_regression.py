"""Numbers of texts: laws, scale, baseline and bad records."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from luban.core.contracts import Record, Task
from luban.core.errors import DataError
from luban.data.views.in_memory import InMemoryExamples
from luban.init.recognition import recognise
from luban.mechanisms.plain import Plain
from luban.tasks.text_regression import TextRegression
from luban.testing import check_task
from tests.tasks.toy import Bag

VALUES = [5.0, 1.5, 4.0, -2.0, 3.0]
RECORDS: list[Record] = [
    {"text": text, "value": value, "_where": f"a:{row}"}
    for row, (text, value) in enumerate(zip(["aa", "b", "aab", "bbb", "ab"], VALUES, strict=True))
]


def task() -> TextRegression:
    made = Task.from_dict({"name": "text-regression", "tokenizer": "char"})
    assert isinstance(made, TextRegression)
    return made


@pytest.mark.parametrize("pairs", [False, True])
def test_the_laws(pairs: bool) -> None:
    more = {"text_pair": "b"} if pairs else {}
    check_task(task(), Bag(), [{**r, **more} for r in RECORDS], mechanism=Plain())


def test_values_are_standardised_by_training_data_and_given_back(tmp_path: Path) -> None:
    learned = task().learn([*RECORDS, RECORDS[0]])
    examples = learned.encode_batch(RECORDS)
    batch = learned.collate(examples)
    seen = np.array([*VALUES, VALUES[0]])
    expected = (np.array(VALUES) - seen.mean()) / seen.std()
    assert batch.targets["labels"].tolist() == pytest.approx(expected.tolist())
    learned.save(tmp_path)
    again = task().load(tmp_path)
    torch.manual_seed(0)
    module = Bag().build(learned.signature())
    made = [item["value"] for item in again.predict(module, batch)]
    outputs = module(**batch.inputs)[:, 0].tolist()
    assert made == pytest.approx([x * seen.std() + seen.mean() for x in outputs])
    torch.testing.assert_close(
        learned.loss(module, batch).mean,
        nn.functional.mse_loss(module(**batch.inputs)[:, 0], batch.targets["labels"]),
    )


def test_the_baseline_is_the_mean() -> None:
    learned = task().learn(RECORDS)
    examples = learned.encode_batch(RECORDS)
    baseline = learned.baselines(InMemoryExamples(examples))["mean"]
    assert baseline(examples[0]) == {"value": pytest.approx(np.mean(VALUES))}
    scores = {
        metric.name: metric.compute(
            np.asarray([metric.statistics(baseline(e), learned.target(e)) for e in examples])
        )
        for metric in learned.metrics()
    }
    assert scores == {"pearson": 0.0, "spearman": 0.0, "rmse": pytest.approx(np.std(VALUES))}


def test_numbers_may_be_written_as_text_and_called_label() -> None:
    learned = task().learn([{"text": "a", "label": " 2.5 "}, {"text": "b", "label": "1e1"}])
    assert learned.target(learned.encode({"text": "a", "value": 7})) == {"value": 7.0}


def test_values_that_never_vary_do_no_harm() -> None:
    learned = task().learn([{**record, "value": 3} for record in RECORDS])
    batch = learned.collate(learned.encode_batch(RECORDS))
    assert bool(batch.targets["labels"].isfinite().all())


@pytest.mark.parametrize("value", [None, "many", True, math.nan, math.inf, [1.0], "nan"])
def test_a_value_that_is_no_number_is_named(value: Any) -> None:
    with pytest.raises(DataError, match=r"(?s)rows.csv:7.*no value|no value.*rows.csv:7"):
        task().learn(RECORDS).encode({"text": "a", "value": value, "_where": "rows.csv:7"})


def test_a_text_beside_a_measure_is_recognised() -> None:
    rows: list[Record] = [
        {"sentence": f"the text {i}", "id": i, "score": (i * 7 % 11) / 2} for i in range(40)
    ]
    found = recognise("text-regression", rows)
    assert found is not None
    assert found.fields == {"text": "sentence", "value": "score"}
    assert recognise("text-regression", [{"text": f"t{i}", "id": i} for i in range(40)]) is None
