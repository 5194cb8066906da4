"""Multiple choice: the likelihood of each continuation, against transformers and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from luban.core.contracts import Record, Task
from luban.core.errors import DataError
from luban.data.store import build
from luban.init.recognition import recognise
from luban.metrics.choice_accuracy import ChoiceAccuracy
from luban.models.gpt import GPT

RECORDS: list[Record] = [
    {"query": "the sky is", "choices": ["blue", "a very long word", "月亮"], "gold": 0},
    {"query": "", "choices": ["yes", "no"], "gold": 1},
    {"context_options": ["he said he", "he said she"], "continuation": "ran.", "gold": 1},
]


def task(**fields: Any) -> Any:
    given = {"name": "multiple-choice", "tokenizer": "char", "context": 40, **fields}
    return Task.from_dict(given).learn(RECORDS)


def gpt(learned: Task) -> nn.Module:
    torch.manual_seed(0)
    fields = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return GPT.from_dict({"name": "gpt", **fields, "initializer_range": 0.2}).build(
        learned.signature()
    )


def test_scores_are_the_sums_transformers_gives(tmp_path: Path) -> None:
    import transformers

    from luban.engine.saved import write_saved

    learned = task()
    module = gpt(learned).eval()
    model = GPT(hidden_size=16, num_hidden_layers=2, num_attention_heads=2)
    write_saved(tmp_path, learned, model, module)
    auto: Any = transformers.AutoModelForCausalLM
    hf = auto.from_pretrained(tmp_path).eval()
    tokenizer = learned.tokenizer
    with torch.no_grad():
        found = learned.predict(module, learned.collate([learned.encode(r) for r in RECORDS]))
        for record, prediction in zip(RECORDS, found, strict=True):
            choices = record.get("choices") or [record["continuation"]] * 2
            contexts = record.get("context_options") or [record["query"]] * len(choices)
            expected = []
            for context, choice in zip(contexts, choices, strict=True):
                asked = tokenizer.encode(context) or [tokenizer.end]
                said = tokenizer.encode(f" {choice}")
                logits = hf(torch.tensor([[*asked, *said]])).logits[0].log_softmax(-1)
                at = range(len(asked) - 1, len(asked) + len(said) - 1)
                expected.append(sum(float(logits[i, t]) for i, t in zip(at, said, strict=True)))
            assert prediction["scores"] == pytest.approx(expected, abs=1e-4)
            assert prediction["choice"] == int(np.argmax(expected))
            per_byte = [s / len(c.encode()) for s, c in zip(expected, choices, strict=True)]
            assert prediction["normalised_scores"] == pytest.approx(per_byte, abs=1e-4)
            assert prediction["normalised_choice"] == int(np.argmax(per_byte))


def test_the_loss_is_that_of_the_right_continuation() -> None:
    learned = task()
    module = gpt(learned).double().eval()
    examples = [learned.encode(record) for record in RECORDS]
    losses = learned.loss(module, learned.collate(examples))
    found = learned.predict(module, learned.collate(examples))
    for sum_, prediction, record in zip(losses.sums.tolist(), found, RECORDS, strict=True):
        assert sum_ == pytest.approx(-prediction["scores"][record["gold"]], rel=1e-5)
    assert losses.counts.tolist() == [5, 3, 5]


def test_blanks_of_the_delimiter_belong_to_the_choice() -> None:
    learned = task(delimiter="\nA: ")
    example = learned.encode(RECORDS[0])
    ids = example["input_ids"][: example["lengths"][0]].tolist()
    asked = int(example["asked"][0])
    decode = learned.tokenizer.decode
    assert (decode(ids[:asked]), decode(ids[asked:])) == ("the sky is\nA:", " blue")


def test_a_long_query_loses_its_beginning() -> None:
    learned = task(context=12)
    example = learned.encode({"query": "x" * 50 + "END", "choices": ["ab", "abcdef"], "gold": 0})
    assert example["lengths"].tolist() == [12, 12]
    assert example["asked"].tolist() == [9, 5]


def test_records_without_the_answer_are_predicted() -> None:
    learned = task()
    module = gpt(learned).eval()
    bare = {k: v for k, v in RECORDS[0].items() if k != "gold"}
    one, other = (
        learned.predict(module, learned.collate([e]))[0]
        for e in (learned.encode_input(bare), learned.encode(RECORDS[0]))
    )
    assert one == other


def test_baselines(tmp_path: Path) -> None:
    learned = task()
    store = build(learned, RECORDS, tmp_path / "store")
    chance, longest = (learned.baselines(store)[name] for name in ("chance", "longest"))
    metric = ChoiceAccuracy()
    rows = [metric.statistics(chance(store[i]), learned.target(store[i]))[0] for i in range(3)]
    assert rows == pytest.approx([1 / 3, 1 / 2, 1 / 2])
    rows = [metric.statistics(longest(store[i]), learned.target(store[i]))[0] for i in range(3)]
    assert rows == [0.0, 0.0, 0.5], "two equally long ones share the credit"


@pytest.mark.parametrize(
    ("record", "match"),
    [
        ({"query": "a", "choices": ["b", "c"]}, "which choice is right"),
        ({"query": "a", "choices": ["b", "c"], "gold": 2}, "which choice is right"),
        ({"query": "a", "choices": ["b", "c"], "gold": "b"}, "which choice is right"),
        ({"query": "a", "choices": ["b", "c"], "gold": True}, "which choice is right"),
        ({"query": "a", "choices": ["b"], "gold": 0}, "no question with choices"),
        ({"query": "a", "choices": ["b", " "], "gold": 0}, "no question with choices"),
        ({"query": "a", "choices": "bc", "gold": 0}, "no question with choices"),
        ({"choices": ["b", "c"], "gold": 0}, "no question with choices"),
        ({"query": "a", "choices": ["b", "c" * 99], "gold": 0}, "does not fit"),
    ],
)
def test_bad_records_name_their_row(record: dict[str, Any], match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        task().encode({**record, "_where": "rows.jsonl:7"})
    assert "rows.jsonl:7" in str(caught.value.where)


def test_they_are_recognised() -> None:
    assert recognise("multiple-choice", RECORDS) is not None
    assert recognise("multiple-choice", [{"text": "a"}]) is None
