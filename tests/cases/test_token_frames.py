"""Texts: what stands around them is what the saved folder's own tokenizer puts there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luban.core.contracts import Task
from tests.cases.test_tokens import tuning
from tests.chat_families import ENCODERS, READERS, theirs, write_folder

TEXTS = ["what is it?", " Yes, a word.\n", "床前明月光，疑是地上霜", "naïve 🐍 <s> x", "", "a b  c"]


def prose(folder: Path) -> Task:
    reader = {"name": "pretrained", "path": str(folder)}
    return Task.from_dict({"name": "text-generation", "tokenizer": reader}).learn([])


@pytest.mark.parametrize("reader", READERS)
def test_what_stands_before_every_text_is_read_and_written(reader: str, tmp_path: Path) -> None:
    """T4: what the folder's tokenizer puts before a text is trained on, and begins prompts."""
    folder = write_folder(tmp_path, READERS[reader](), {"bos_token": "<s>", "eos_token": "</s>"})
    hf, task = theirs(folder), prose(folder)
    end = hf.convert_tokens_to_ids("</s>")
    for text in TEXTS:
        if "<s>" in text:
            continue  # that a text spells a special token is data here, and a token there
        ids = hf(text).input_ids
        assert task.encode({"text": text})["input_ids"].tolist() == [
            *ids[: len(ids) - (ids[-1:] == [end])],
            end,
        ]
    assert task.signature().bos == hf.convert_tokens_to_ids("<s>")
    # A document that comes in pieces is one text.
    whole = "what is it?\nYes, a word.\n床前明月光\n"
    pieces = [
        {"text": whole[:12], "_first": True, "_last": False},
        {"text": whole[12:25], "_first": False, "_last": False},
        {"text": whole[25:], "_first": False, "_last": True},
    ]
    joined = np.concatenate([example["input_ids"] for example in task.encode_batch(pieces)])
    if reader != "unigram":  # which drops line ends at the edges
        assert joined.tolist() == task.encode({"text": whole})["input_ids"].tolist()


@pytest.mark.parametrize("reader", READERS)
def test_question_and_choice_are_encoded_as_one_text(reader: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, READERS[reader](), {"bos_token": "<s>", "eos_token": "</s>"})
    hf = theirs(folder)
    tokenizer = {"name": "pretrained", "path": str(folder)}
    task = Task.from_dict({"name": "multiple-choice", "tokenizer": tokenizer}).learn([])
    record: dict[str, Any] = {
        "query": "what is the answer to this?",
        "choices": ["yes", "the text"],
        "gold": 1,
    }
    example = task.encode(record)
    rows = np.split(example["input_ids"], np.cumsum(example["lengths"])[:-1])
    end = hf.convert_tokens_to_ids("</s>")
    for row, choice in zip(rows, record["choices"], strict=True):
        ids = hf(f"{record['query']} {choice}").input_ids
        assert row.tolist() == ids[: len(ids) - (ids[-1:] == [end])]
    raw = tuning(folder, format="raw")
    ids = hf("what is it? yes").input_ids
    example = raw.encode({"prompt": "what is it?", "completion": " yes"})
    assert example["input_ids"].tolist()[: len(ids)] == [*ids[: len(ids) - (ids[-1:] == [end])],
                                                        end][: len(ids)]  # fmt: skip
    said = example["input_ids"][example["answers"] == 1].tolist()
    assert hf.decode(said, skip_special_tokens=True).strip() == "yes"


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("encoders")
    for name, (make, config) in ENCODERS.items():
        write_folder(root / name, make(), config)
    return root


def classifier(tokenizer: dict[str, Any], pairs: bool, length: int = 12) -> Task:
    records = [
        {"text": "what is it", "label": "a", **({"text_pair": "yes or no"} if pairs else {})},
        {"text": "a word", "label": "b", **({"text_pair": "the text"} if pairs else {})},
    ] * 3
    plain = {"name": "text-classification", "tokenizer": tokenizer, "max_length": length}
    return Task.from_dict(plain).learn(records)


OWN: list[dict[str, Any]] = [
    {"name": "char"},
    {"name": "bpe", "vocab_size": 300},
    {"name": "unigram", "vocab_size": 280},
    {"name": "wordpiece", "vocab_size": 60},
]


def check_texts(task: Task, folder: Path, length: int, texts: list[tuple[str, str]]) -> None:
    """Compare single texts, or pairs, with what the saved folder's tokenizer gives."""
    folder.mkdir(exist_ok=True)
    task.save(folder)
    hf = theirs(folder)
    pairs = "text_pair" in task.record_schema()["properties"]
    for one, two in texts:
        record = {"text": one, **({"text_pair": two} if pairs else {})}
        row = task.encode_batch([{**record, "label": "a"}])[0]
        given = ([one], [two]) if pairs else ([one],)
        ref = hf(*given, truncation=True, max_length=length)
        assert row["input_ids"].tolist() == ref["input_ids"][0], record
        if "token_type_ids" in ref and pairs:
            assert row["token_type_ids"].tolist() == ref["token_type_ids"][0], record
        elif pairs:
            assert not row["token_type_ids"].any(), record


PAIRS = [
    ("what is it", "yes"),
    ("a", "床前明月光，疑是地上霜。举头望明月"),
    ("what is the answer to this question, and why", "be brief: yes or no, in one word"),
    (" Yes ", ""),
    ("the the the the the", "the the the the the the"),
]


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("length", [12, 13, 64])
@pytest.mark.parametrize("tokenizer", OWN, ids=lambda given: str(given["name"]))
def test_texts_are_framed_as_the_saved_tokenizer_does(
    tokenizer: dict[str, Any], length: int, pairs: bool, tmp_path: Path
) -> None:
    """A BERT from scratch reads the special tokens that its folder puts around texts."""
    task = classifier(tokenizer, pairs, length)
    check_texts(task, tmp_path / "saved", length, PAIRS)
    hf = theirs(tmp_path / "saved")
    assert hf("a").input_ids[0] == hf.cls_token_id
    assert hf("a").input_ids[-1] == hf.sep_token_id


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("length", [12, 13, 64])
@pytest.mark.parametrize("name", ENCODERS)
def test_texts_are_framed_as_the_pretrained_tokenizer_does(
    name: str, length: int, pairs: bool, encoders: Path, tmp_path: Path
) -> None:
    """RoBERTa has two separators between texts, and one segment."""
    task = classifier({"name": "pretrained", "path": str(encoders / name)}, pairs, length)
    check_texts(task, tmp_path / "saved", length, PAIRS)
    if pairs:
        assert task.signature().segments == (1 if name == "roberta" else 2)
    before, after = theirs(encoders / name), theirs(tmp_path / "saved")
    for one, two in PAIRS:
        assert before([one], [two])["input_ids"] == after([one], [two])["input_ids"]


@pytest.mark.parametrize("name", ENCODERS)
def test_a_hidden_token_is_read_as_in_transformers(name: str, encoders: Path) -> None:
    hf = theirs(encoders / name)
    tokenizer = {"name": "pretrained", "path": str(encoders / name)}
    task = Task.from_dict({"name": "fill-mask", "tokenizer": tokenizer}).learn([])
    for text in ("what is {} it?", "{}床前", "a {}{} b", "a{}"):
        written = text.format(*["[MASK]"] * text.count("{}"))
        spelled = text.format(*[hf.mask_token] * text.count("{}"))
        example = task.encode_input({"text": written})
        assert example["input_ids"].tolist() == hf(spelled).input_ids, text


@pytest.mark.parametrize("name", ENCODERS)
def test_windows_of_a_context_are_those_of_transformers(name: str, encoders: Path) -> None:
    hf = theirs(encoders / name)
    sizes = {"max_length": 24, "doc_stride": 4, "max_question_length": 10}
    tokenizer = {"name": "pretrained", "path": str(encoders / name)}
    task = Task.from_dict({"name": "question-answering", "tokenizer": tokenizer, **sizes}).learn([])
    context = "床前明月光，疑是地上霜。 举头望明月 what is the answer to this question"
    question = "what is it?"
    example = task.encode_input({"question": question, "context": context})
    batch = task.collate([example])
    kept = batch.inputs["attention_mask"].view(-1, batch.inputs["attention_mask"].shape[-1])
    rows = batch.inputs["input_ids"].view(kept.shape)
    ours = [row[mask == 1].tolist() for row, mask in zip(rows, kept, strict=True)]
    ref = hf(
        question, context, truncation="only_second", max_length=24, stride=4,
        return_overflowing_tokens=True,
    )  # fmt: skip
    assert ours == ref["input_ids"]
