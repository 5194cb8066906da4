"""Translation and summarisation: what is encoded, learned, written and measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from luban.core.contracts import Model, Record, Task
from luban.core.errors import DataError, RecipeError
from luban.data.store import build
from luban.init.recognition import recognise
from luban.tasks.summarization import Summarization
from luban.tasks.translation import Translation

PAIRS: list[Record] = [
    {"source": "one two", "target": "eins zwei", "_where": "a:1"},
    {"source": "two", "target": ["zwei", "zwo"], "_where": "a:2"},
    {"source": "three one", "target": "drei eins", "_where": "a:3"},
]
TINY = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "dropout": 0.0}


def translation(**fields: Any) -> Translation:
    made = Translation.from_dict({"name": "translation", "tokenizer": "char", **fields})
    return made.learn(iter(PAIRS))


def trained(task: Task, model: dict[str, Any], records: list[Record], steps: int = 120) -> Any:
    """A module that has learned the records by heart."""
    torch.manual_seed(0)
    module = Model.from_dict(model).build(task.signature())
    batch = task.collate(task.encode_batch(records))
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        task.loss(module, batch).mean.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return module.eval()


def test_both_sides_are_closed_and_the_decoder_starts_with_padding() -> None:
    task = translation()
    batch = task.collate(task.encode_batch(PAIRS))
    end, pad = task.tokenizer.end, task.tokenizer.pad
    assert end != pad
    ids, keep = batch.inputs["input_ids"], batch.inputs["attention_mask"]
    assert [int(row[n - 1]) for row, n in zip(ids, keep.sum(1), strict=True)] == [end] * 3
    written, labels = batch.inputs["decoder_input_ids"], batch.targets["labels"]
    assert written[:, 0].tolist() == [task.signature().start] * 3 == [pad] * 3
    counted = labels >= 0
    assert torch.equal(written[:, 1:][counted[:, 1:]], labels[:, :-1][counted[:, 1:]])
    assert task.tokenizer.decode(labels[1][counted[1]].tolist()) == "zwei"  # the first of two
    assert batch.positions == ids.numel() + written.numel()


def test_the_loss_is_that_of_the_answer() -> None:
    label_smoothing = 0.2
    task = translation(label_smoothing=label_smoothing)
    module = Model.from_dict({"name": "seq2seq", **TINY}).build(task.signature()).eval()
    batch = task.collate(task.encode_batch(PAIRS))
    logits = module(**batch.inputs).flatten(0, 1)
    labels = batch.targets["labels"].flatten()
    for training in (False, True):
        module.train(training)
        expected = F.cross_entropy(logits, labels, label_smoothing=label_smoothing * training)
        torch.testing.assert_close(task.loss(module, batch).mean, expected)


def test_what_is_cut_is_said() -> None:
    task = translation(max_source_length=4, max_target_length=5)
    long, short, _ = task.encode_batch(PAIRS)
    assert task.tokenizer.decode(long["input_ids"].tolist()) == "one"
    assert task.target_summary(long).truncated
    assert not task.target_summary(long).ends
    assert task.target_summary(short).ends
    assert task.target_summary(short).count == 5
    empty = task.encode({"source": "", "target": "x"})
    assert task.target_summary(empty).count == 0
    assert task.target_summary(task.encode({"source": "x", "target": ""})).count == 0


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        ({}, {"name": "seq2seq", **TINY}),
        ({"num_beams": 1}, {"name": "seq2seq", **TINY, "layout": "marian"}),
        (
            {"target_tokenizer": "char"},
            {"name": "rnn-seq2seq", "hidden_size": 64, "num_hidden_layers": 1},
        ),
        ({"decoder_only": True}, {"name": "gpt", **TINY}),
        ({"decoder_only": True, "num_beams": 1}, {"name": "gpt", **TINY, "layout": "gpt2"}),
    ],
)
def test_what_was_learned_is_written(fields: dict[str, Any], model: dict[str, Any]) -> None:
    task = translation(max_source_length=20, max_target_length=16, label_smoothing=0.0, **fields)
    module = trained(task, model, PAIRS)
    asked = [{"source": record["source"]} for record in PAIRS]
    batches = [
        task.collate(task.encode_batch(PAIRS)),
        task.collate([task.encode_input(record) for record in asked]),
    ]
    for batch in batches:
        written = task.predict(module, batch)
        assert [each["text"] for each in written] == ["eins zwei", "zwei", "drei eins"]
        assert all(-0.5 < each["score"] < 0 for each in written)


def test_a_target_tokenizer_of_its_own_comes_back(tmp_path: Path) -> None:
    task = translation(target_tokenizer="char")
    assert task.signature().inputs != task.signature().outputs
    task.save(tmp_path)
    back = Translation(tokenizer=task.tokenizer, target_tokenizer=task.target_tokenizer).load(
        tmp_path
    )
    assert back.signature() == task.signature()
    with pytest.raises(RecipeError, match="one vocabulary"):
        translation(target_tokenizer="char", decoder_only=True)


def test_transformers_closes_an_input_as_we_do(tmp_path: Path) -> None:
    import transformers

    task = translation(tokenizer={"name": "bpe", "vocab_size": 300})
    task.save(tmp_path)
    theirs: Any = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for record in PAIRS:
        ours = task.encode_input(record)["input_ids"].tolist()
        assert theirs(record["source"])["input_ids"] == ours
    assert theirs.eos_token_id == task.tokenizer.end
    assert theirs.pad_token_id == task.tokenizer.pad
    again = translation(tokenizer={"name": "pretrained", "path": str(tmp_path)})
    assert np.array_equal(again.encode(PAIRS[0])["labels"], task.encode(PAIRS[0])["labels"])


@pytest.mark.parametrize(
    ("record", "match"),
    [
        ({"source": "x", "_where": "a.csv:3"}, "no target"),
        ({"target": "x", "_where": "a.csv:3"}, "no source"),
        ({"source": 3, "target": "x", "_where": "a.csv:3"}, "no source"),
        ({"source": "x", "target": [], "_where": "a.csv:3"}, "no target"),
        ({"source": "x", "target": ["y", 2], "_where": "a.csv:3"}, "no target"),
    ],
)
def test_bad_records_are_named_by_row(record: Record, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        translation().encode(record)
    assert caught.value.where == "a.csv:3"


def test_a_record_without_its_answer_is_enough_to_predict() -> None:
    task = translation()
    assert task.record_schema()["required"] == ["source"]
    (array,) = task.encode_input({"source": "one"}).values()
    assert array[-1] == task.tokenizer.end


def test_translation_baseline_and_metrics(tmp_path: Path) -> None:
    task = translation()
    store = build(task, PAIRS, tmp_path / "store")
    copy = task.baselines(store)["copy"]
    assert [copy(store[i])["text"] for i in range(3)] == ["one two", "two", "three one"]
    assert task.target(store[1])["references"] == ["zwei", "zwo"]
    assert [metric.label for metric in task.metrics()] == ["bleu", "chrf", "ter"]
    chinese = translation(tokenize="zh").metrics()
    assert [metric.to_dict().get("tokenize") for metric in chinese] == ["zh", None, "zh"]


@pytest.mark.parametrize(
    ("tokenize", "documents", "summaries", "leads"),
    [
        (
            "words",
            ["It rains. It pours! Does it? Yes.", "Only one"],
            ["Two here. Sentences.", "Two. Again."],
            ["It rains. It pours!", "Only one"],
        ),
        ("characters", ["床前明月光，疑是地上霜。", "短"], ["月光", "思故乡？"], ["床前明", "短"]),
    ],
)
def test_lead_is_as_long_as_summaries_are(
    tokenize: str, documents: list[str], summaries: list[str], leads: list[str], tmp_path: Path
) -> None:
    records = [
        {"document": document, "summary": [summary, "not looked at, for it is the second"]}
        for document, summary in zip(documents, summaries, strict=True)
    ]
    fields = {"name": "summarization", "tokenizer": "char", "tokenize": tokenize}
    task = Summarization.from_dict(fields).learn(records)
    store = build(task, records, tmp_path / "store")
    lead = task.baselines(store)["lead"]
    assert [lead(store[i])["text"] for i in range(2)] == leads


def test_a_causal_model_gets_no_gradient_from_the_document() -> None:
    task = translation(decoder_only=True)
    module = Model.from_dict({"name": "gpt", **TINY}).build(task.signature()).eval()
    (example,) = task.encode_batch(PAIRS[:1])
    batch = task.collate([example])
    prompt, answer = len(example["input_ids"]), len(example["labels"])
    logits = module(**batch.inputs)[0].log_softmax(-1)
    whole = [*example["input_ids"].tolist(), *example["labels"].tolist()]
    rows = range(prompt - 1, prompt + answer - 1)
    expected = -sum(logits[row, whole[row + 1]] for row in rows)
    losses = task.loss(module, batch)
    torch.testing.assert_close(losses.sums[0], expected)
    assert losses.counts.tolist() == [answer]


@pytest.mark.parametrize(
    ("record", "name", "fields"),
    [
        ({"en": "a house", "de": "ein Haus"}, "translation", {"source": "en", "target": "de"}),
        ({"src": "a house", "tgt": "ein Haus"}, "translation", {"source": "src", "target": "tgt"}),
        ({"english": "a house", "chinese": "一座房子"}, "translation",
         {"source": "english", "target": "chinese"}),
        ({"article": "long " * 50, "highlights": "short"}, "summarization",
         {"document": "article", "summary": "highlights"}),
        ({"document": "长" * 50, "summary": ["短"]}, "summarization", {}),
    ],
)  # fmt: skip
def test_records_are_recognised(record: Record, name: str, fields: dict[str, str]) -> None:
    guesses = {task: recognise(task, [record] * 3) for task in ("translation", "summarization")}
    guess = guesses.pop(name)
    assert guess is not None
    assert guess.fields == fields
    assert list(guesses.values()) == [None]
    made = Task.from_dict({"name": name, **json.loads(json.dumps(dict(guess.task)))})
    chinese = any("\u4e00" <= c <= "\u9fff" for c in json.dumps(record, ensure_ascii=False))
    assert (made.to_dict()["tokenize"] in ("zh", "characters")) == chinese


def test_other_records_are_not_recognised() -> None:
    for record in ({"text": "a"}, {"text": "a", "label": "b"}, {"question": "a", "answer": "b"}):
        assert recognise("translation", [record]) is None
        assert recognise("summarization", [record]) is None
