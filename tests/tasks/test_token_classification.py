"""Tagged text in every form, and what predictions are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luban.core.contracts import Guess, Mechanism, Model
from luban.core.errors import DataError, RecipeError
from luban.data.text.tagging import entities_of, fault
from luban.data.text.words import encode_words, joined, words_of
from luban.data.views.in_memory import InMemoryExamples
from luban.init.recognition import recognise
from luban.nn.crf import CRF
from luban.tasks.token_classification import TokenClassification
from luban.testing import check_task
from tests.tasks.encoder import Encoder, Told

TOKENS: list[dict[str, Any]] = [
    {
        "tokens": ["高", "勇", "生", "于", "上", "海"],
        "tags": ["B-N", "E-N", "O", "O", "B-L", "E-L"],
    },
    {"tokens": ["他", "在", "京"], "tags": ["O", "O", "S-L"]},
    {"tokens": ["李", "四", "光", "说"], "tags": ["B-N", "M-N", "E-N", "O"]},
    {"tokens": ["无"], "tags": ["O"]},
]
TEXTS: list[dict[str, Any]] = [
    {"text": "Ada met Charles in London.", "entities": [
        {"start": 0, "end": 3, "type": "person"},
        {"start": 8, "end": 15, "type": "person"},
        {"start": 19, "end": 25, "type": "place"},
    ]},
    {"text": "nobody was there", "entities": []},
    {"text": "In Bath, Ada.", "entities": [
        {"start": 3, "end": 7, "label": "place"}, {"start": 9, "end": 12, "label": "person"},
    ]},
    {"text": "London", "entities": [{"start": 0, "end": 6, "type": "place"}]},
]  # fmt: skip


def placed(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**record, "_where": f"f:{row}"} for row, record in enumerate(records, 1)]


def made(records: list[dict[str, Any]], **fields: Any) -> TokenClassification:
    fields = {"tokenizer": "char", **fields}
    task = TokenClassification.from_dict({"name": "token-classification", **fields})
    return task.learn(placed(records))


@pytest.mark.parametrize("records", [TOKENS, TEXTS], ids=["tokens", "texts"])
@pytest.mark.parametrize(
    "fields",
    [{}, {"scheme": "bioes"}, {"crf": True}, {"outside_weight": 0.3}, {"max_length": 6}],
    ids=str,
)
def test_the_laws_of_tasks(records: list[dict[str, Any]], fields: dict[str, Any]) -> None:
    given = {"name": "token-classification", "tokenizer": "char", **fields}
    task = TokenClassification.from_dict(given)
    check_task(task, Encoder(), placed(records), mechanism=Mechanism.from_dict("plain"))


@pytest.mark.parametrize(
    ("tags", "written"),
    [
        (["B-X", "I-X", "O", "B-Y"], "bio"),
        (["I-X", "B-X", "O", "I-Y"], "iob1"),
        (["B-X", "E-X", "O", "S-Y"], "bioes"),
        (["B-X", "L-X", "O", "U-Y"], "bioes"),
    ],
)
def test_the_scheme_of_the_data_is_found(tags: list[str], written: str) -> None:
    task = made([{"tokens": list("abcd"), "tags": tags}, {"tokens": ["a"], "tags": ["O"]}])
    assert task._written == written
    (example,) = task.encode_batch([{"tokens": list("abcd"), "tags": tags}])
    learned = [task.labels[i] for i in example["labels"]]
    assert fault(learned, "bio") is None
    target = [(e["type"], e["start"], e["end"]) for e in task.target(example)["entities"]]
    assert target == entities_of(tags, task._written) == entities_of(learned, "bio")
    assert len(target) == (3 if written == "iob1" else 2)


def test_a_perfect_model_gets_everything_right() -> None:
    for records in (TOKENS, TEXTS):
        for fields in ({}, {"scheme": "bioes"}, {"crf": True}):
            task = made(records, **fields)
            examples = task.encode_batch(records)
            batch = task.collate(examples)
            logits = torch.zeros(*batch.inputs["input_ids"].shape, len(task.labels))
            for row, example in enumerate(examples):
                logits[row, torch.from_numpy(example["firsts"]).long(), example["labels"]] = 50.0
            chain = CRF(len(task.labels))
            answers = task.predict(Told(logits, chain), batch)
            for answer, example, record in zip(answers, examples, records, strict=True):
                found = [{k: e[k] for k in ("type", "start", "end")} for e in answer["entities"]]
                assert found == task.target(example)["entities"]
                assert all(e["score"] == pytest.approx(1) for e in answer["entities"])
                for entity in answer["entities"]:
                    start, end = entity["start"], entity["end"]
                    if "text" in record:
                        assert entity["text"] == record["text"][start:end]
                    else:
                        assert entity["text"] == "".join(record["tokens"][start:end])
            for metric in task.metrics():
                rows = [
                    metric.statistics(a, task.target(e))
                    for a, e in zip(answers, examples, strict=True)
                ]
                assert metric.compute(np.asarray(rows)) == 1.0


@pytest.mark.parametrize("fields", [{}, {"scheme": "bioes"}, {"crf": True}], ids=str)
def test_what_is_predicted_is_always_valid(fields: dict[str, Any]) -> None:
    task = made(TOKENS, **fields)
    batch = task.collate([task.encode_input(record) for record in TOKENS])
    torch.manual_seed(0)
    for _ in range(20):
        logits = 3 * torch.randn(*batch.inputs["input_ids"].shape, len(task.labels))
        for answer in task.predict(Told(logits, CRF(len(task.labels))), batch):
            assert fault(answer["tags"], task.scheme) is None
            assert all(0 <= entity["score"] <= 1 for entity in answer["entities"])


def test_a_chain_learns_from_all_tags_together() -> None:
    """The loss is -log p of the sequence, counted once a word."""
    task = made(TOKENS, crf=True)
    batch = task.collate(task.encode_batch(TOKENS))
    module = Encoder().build(task.signature())
    losses = task.loss(module, batch)
    logits = module(**batch.inputs)
    for row, record in enumerate(TOKENS):
        n = len(record["tokens"])
        expected = -module.transitions.log_likelihood(
            logits[row : row + 1, 1 : n + 1],
            batch.targets["labels"][row : row + 1, :n],
            torch.ones(1, n),
        )
        assert losses.sums[row].item() == pytest.approx(expected.item(), rel=1e-5)
        assert losses.counts[row] == n


def test_a_word_counts_once_however_many_pieces_it_has() -> None:
    task = made(TEXTS)
    (example,) = task.encode_batch(TEXTS[:1])
    assert len(example["firsts"]) == len(example["labels"]) == 6
    assert len(example["input_ids"]) == len("Ada met Charles in London.") + 2
    assert task.target_summary(example).count == 6
    assert not task.target_summary(example).truncated


def test_what_is_cut_off_is_reported_and_missed() -> None:
    task = made(TOKENS, max_length=5)
    (example,) = task.encode_batch(TOKENS[:1])
    assert len(example["input_ids"]) == 5
    assert task.target_summary(example).count == 3
    assert task.target_summary(example).truncated
    assert len(task.target(example)["entities"]) == 2
    batch = task.collate([example])
    logits = torch.zeros(1, 5, len(task.labels))
    logits[0, 1, task.labels.index("B-N")] = logits[0, 2, task.labels.index("I-N")] = 9.0
    (answer,) = task.predict(Told(logits), batch)
    assert answer["truncated"] is True
    assert answer["tags"] == ["B-N", "I-N", "O", "O", "O", "O"]
    assert [e["text"] for e in answer["entities"]] == ["高勇"]


def test_serving_needs_no_entities(tmp_path: Path) -> None:
    task = made(TEXTS)
    task.save(tmp_path)
    loaded = TokenClassification.from_dict(task.to_dict()).load(tmp_path)
    module = Encoder().build(loaded.signature()).eval()
    records: list[dict[str, Any]] = [{"text": "Ada, 3kg\n上海 ok"}, {"tokens": ["Ada", "Bath"]}]
    batch = loaded.collate([loaded.encode_input(record) for record in records])
    first, second = loaded.predict(module, batch)
    assert len(first["tags"]) == len(["Ada", ",", "3kg", "上", "海", "ok"])
    assert len(second["tags"]) == 2
    assert all(entity["end"] <= 2 for entity in second["entities"])


def test_the_baseline_looks_words_up() -> None:
    task = made(TEXTS)
    examples = task.encode_batch(TEXTS)
    baseline = task.baselines(InMemoryExamples(examples))["most-frequent-tag"]
    record = {"text": "Who is Ada of London?", "entities": []}
    answer = baseline(task.encode(record))
    shown = [(e["type"], e["text"]) for e in answer["entities"]]
    assert shown == [("person", "Ada"), ("place", "London")]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"tokens": ["a"]}, "the record has no tags"),
        ({"tokens": "a b", "tags": ["O"]}, "no tokens and no text"),
        ({"words": ["a"]}, "no tokens and no text"),
        ({"tokens": ["a", "b"], "tags": ["O"]}, "not one tag for each token"),
        ({"tokens": ["a"], "tags": ["N"]}, "the tags are malformed"),
        ({"tokens": ["a"], "tags": [3]}, "the record has no tags"),
        ({"tokens": [], "tags": []}, "holds no word"),
        ({"text": " \n", "entities": []}, "holds no word"),
        ({"text": "Ada"}, "the record has no entities"),
        ({"text": "Ada", "entities": [{"start": 0, "end": 3}]}, "the record has no entities"),
        ({"text": "Ada", "entities": [{"start": 0, "end": 9, "type": "N"}]}, "does not stand"),
        ({"text": "Ada", "entities": [{"start": 2, "end": 2, "type": "N"}]}, "does not stand"),
        (
            {"text": "Ada B", "entities": [
                {"start": 0, "end": 5, "type": "N"}, {"start": 4, "end": 5, "type": "N"},
            ]},
            "two entities overlap",
        ),
    ],
)  # fmt: skip
def test_bad_records_are_named(record: dict[str, Any], message: str) -> None:
    good = [{"tokens": ["a", "b"], "tags": ["B-N", "I-N"]}]
    with pytest.raises(DataError, match=message) as caught:
        made([record, record])
    assert "f:1" in str(caught.value)
    task = made([*good, record])  # one among good ones is left out here, and set apart later
    with pytest.raises(DataError, match=message) as caught:
        task.encode({**record, "_where": "g:7"})
    assert "g:7" in str(caught.value)


def test_a_type_never_seen_is_named() -> None:
    task = made(TOKENS)
    with pytest.raises(DataError, match="no training record has an entity of the type 'NN'"):
        task.encode({"tokens": ["a"], "tags": ["S-NN"]})


def test_broken_tags_are_told_in_the_likeliest_scheme() -> None:
    bmes = [{"tokens": ["a", "b"], "tags": ["B-X", "E-X"]}, {"tokens": ["a"], "tags": ["B-X"]}]
    bio = made([{"tokens": ["a", "b"], "tags": ["B-N", "I-N"]}])
    with pytest.raises(DataError, match="the tags are malformed"):
        bio.encode({"tokens": ["a", "b"], "tags": ["O", "I-N"]})
    task = made([*bmes, bmes[0]])
    assert task._written == "bioes"
    with pytest.raises(DataError, match="is no BIOES at the end") as caught:
        task.encode({**bmes[1], "_where": "f:2"})
    assert "f:2" in str(caught.value)


def test_broken_tags_are_mended_if_asked() -> None:
    rows = [
        {"tokens": list("abc"), "tags": ["B-X", "M-X", "E-X"]},
        {"tokens": list("ab"), "tags": ["O", "B-X"]},
        {"tokens": list("ab"), "tags": ["M-X", "E-X"]},
        {"tokens": list("a"), "tags": ["S-X"]},
    ]
    task = made(rows, malformed="mend")
    assert task._written == "bioes"
    targets = [task.target(example)["entities"] for example in task.encode_batch(rows)]
    assert [(e["start"], e["end"]) for row in targets for e in row] == [
        (0, 3),
        (1, 2),
        (0, 2),
        (0, 1),
    ]
    with pytest.raises(DataError, match="'N' is no tag"):
        task.encode({"tokens": ["a"], "tags": ["N"]})


def test_data_without_entities_are_refused() -> None:
    with pytest.raises(DataError, match="no training record has an entity"):
        made([{"tokens": ["a"], "tags": ["O"]}])


def test_a_chain_has_no_weights() -> None:
    with pytest.raises(RecipeError, match="crf has no outside_weight"):
        made(TOKENS, crf=True, outside_weight=0.5)


def test_what_is_recognised() -> None:
    def guess(sample: list[dict[str, Any]]) -> Guess | None:
        return recognise("token-classification", placed(sample))

    found = guess(TOKENS)
    assert found is not None
    assert found.confidence > 0.9
    assert found.fields == {}
    task = TokenClassification.from_dict({"name": "token-classification", **found.task})
    assert Model.from_dict(found.model).fits(task.learn(placed(TOKENS)).signature())
    assert found.task["tokenizer"] == "char"
    renamed = [{"words": r["tokens"], "ner_tags": r["tags"]} for r in TOKENS]
    found = guess(renamed)
    assert found is not None
    assert found.fields == {"tokens": "words", "tags": "ner_tags"}
    found = guess(TEXTS)
    assert found is not None
    assert found.fields == {}
    assert guess([{"text": "a", "label": "b"}]) is None
    assert guess([{"tokens": ["a"], "tags": ["not one"]}]) is None
    assert guess([]) is None


# Words and texts


@given(st.lists(st.text("aé高🐍 .", max_size=4), max_size=6))
def test_tokens_stand_where_it_is_said(tokens: list[str]) -> None:
    text, spans = joined(tokens)
    assert [text[start:end] for start, end in spans] == tokens


@given(st.text())
def test_words_are_all_but_white_space(text: str) -> None:
    words = [text[start:end] for start, end in words_of(text)]
    assert "".join(words) == "".join(text.split())
    assert all(words)


@pytest.mark.parametrize("name", ["char", "bpe", "unigram", "wordpiece"])
def test_each_word_begins_at_a_token_of_its_own(name: str) -> None:
    """Those that learn here learn none that reaches beyond a word; a text is encoded whole."""
    from luban.core.contracts import Tokenizer

    fields = {} if name == "char" else {"vocab_size": 300}
    texts = ["to be (or not) to-be 高勇", "that is the question: to be..."] * 3
    plain = Tokenizer.from_dict({"name": name, **fields})
    tokenizer = plain.on_words().learn(texts, ("pad", "mask"))
    for text in texts:
        spans = words_of(text)
        (found,) = encode_words(tokenizer, [(text, spans)])
        assert found.ids == tokenizer.encode(text)
        assert not found.apart
        assert sorted(set(found.firsts)) == found.firsts
        ends = [*found.firsts[1:], len(found.ids)]
        pieces = [found.ids[a:b] for a, b in zip(found.firsts, ends, strict=True)]
        said = [tokenizer.decode(ids).strip() for ids in pieces]
        assert said == [text[start:end] for start, end in spans]


def test_words_that_share_a_token_are_encoded_one_by_one() -> None:
    from luban.core.contracts import Tokenizer

    text = "a (b) and (b) or (b)"
    plain = Tokenizer.from_dict({"name": "bpe", "vocab_size": 300})
    tokenizer = plain.learn([text.replace(" ", "")] * 60, ("pad", "mask"))
    spans = words_of("(b)(b)")
    (found,) = encode_words(tokenizer, [("(b)(b)", spans)])
    assert found.apart
    assert len(set(found.firsts)) == len(spans) == 6
    task = made([{"text": text, "entities": [{"start": 3, "end": 4, "type": "x"}]}] * 3)
    example = task.encode({"text": "a (b)", "entities": []})
    assert not any(task.target_summary(example).notes.values())
