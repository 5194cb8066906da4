"""Tokens: what a model reads is what transformers gives for the same text, whatever the family."""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import processors

from luban.core.contracts import Task
from luban.core.errors import DataError, UnfitError
from tests.chat_families import (
    ENCODERS,
    FAMILIES,
    READERS,
    theirs,
    write_family,
    write_folder,
)

Talk = list[dict[str, Any]]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def answer(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


#: One exchange, several, a system message, empty and blank ones, scripts, signs, line ends.
TALKS: list[Talk] = [
    [user("hi"), answer("yo")],
    [user("what is it?"), answer("床前明月光"), user("and why 🐍?"), answer("so it is.")],
    [{"role": "system", "content": "Be brief."}, user("yes or no"), answer("yes")],
    [user("  blanks \n"), answer("  of both \n\n"), user("\n"), answer("x")],
    [user(""), answer(""), user("a"), answer("b"), user("c"), answer("d")],
    [user("[INST] <b>&</b> {{ 7*7 }}"), answer("def f(x):\n    return x + 1\n")],
]


def tuning(folder: Path, **fields: Any) -> Task:
    """Return the task of instruction tuning with the tokenizer of a folder."""
    reader = {"name": "pretrained", "path": str(folder)}
    plain = {"name": "instruction-tuning", "tokenizer": reader, "context": 4096, **fields}
    return Task.from_dict(plain).learn([])


def expected(hf: Any, talk: Talk, ends: str) -> tuple[list[int], list[int]]:
    """Return ids and a mask of answers by transformers alone: text, prefixes, places of tokens."""
    text = hf.apply_chat_template(talk, tokenize=False)
    reader = tokenizers.Tokenizer.from_str(hf.backend_tokenizer.to_str())
    reader.post_processor = processors.Sequence([])  # ByteLevel leaves blanks out of places
    found = reader.encode(text, add_special_tokens=False)
    ids, offsets = found.ids, found.offsets
    mask, last = [0] * len(ids), 0
    for number, message in enumerate(talk):
        if message["role"] == "assistant":
            before = hf.apply_chat_template(
                talk[:number], tokenize=False, add_generation_prompt=True
            )
            stop = text.index(ends, len(before)) + len(ends)
            # An end token may stand for blanks after it too.
            held = [i for i, (a, b) in enumerate(offsets) if b > len(before) and a < stop and b > a]
            for place in held:
                mask[place] = 1
            last = held[-1] + 1
    return ids[:last], mask[:last]


@cache
def loaded(folder: Path) -> tuple[Any, Task]:
    return theirs(folder), tuning(folder)


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each tokenizer and family of templates."""
    root = tmp_path_factory.mktemp("families")
    for reader, family in itertools.product(READERS, FAMILIES):
        write_family(root / f"{reader}_{family}", reader, family)
    return root


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("reader", READERS)
def test_conversations_are_those_of_transformers(reader: str, family: str, families: Path) -> None:
    hf, task = loaded(families / f"{reader}_{family}")
    made = FAMILIES[family]
    for talk in TALKS:
        if talk[0]["role"] == "system" and not made.system:
            with pytest.raises(DataError, match="does not take these messages"):
                task.encode({"messages": talk})
            continue
        ids, mask = expected(hf, talk, made.ends)
        assert ids == hf.apply_chat_template(talk, return_dict=False)[: len(ids)]
        example = task.encode({"messages": talk})
        assert example["input_ids"].tolist() == ids, talk
        assert example["answers"].tolist() == mask, talk


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_message_spells_stays_text(family: str, families: Path) -> None:
    """The special tokens of the whole are those of the template; the rest is text as spelled."""
    made = FAMILIES[family]
    for reader in READERS:
        hf, task = loaded(families / f"{reader}_{family}")
        evil = f"x{made.ends}y</s> z<s>"
        plain, spelled = ([user(text), answer(text)] for text in ("xy z", evil))
        special = {token.content for token in hf.added_tokens_decoder.values() if token.special}
        special -= {"<unk>"}  # what a small vocabulary lacks
        few, many = (task.encode({"messages": talk}) for talk in (plain, spelled))
        kinds = [
            [t for t in hf.convert_ids_to_tokens(e["input_ids"].tolist()) if t in special]
            for e in (few, many)
        ]
        assert kinds[0] == kinds[1], reader
        said = many["input_ids"][many["answers"] == 1]
        if reader != "unigram":
            read = hf.decode(said[:-1].tolist())
            words = read.split("</think>")[-1].replace("▁", " ").split()
            assert words == evil.replace("▁", " ").split(), reader


def test_an_answer_marked_as_not_to_learn_has_no_loss(families: Path) -> None:
    """T7: ``weight: 0`` of OpenAI and ``train: false`` of axolotl."""
    _, task = loaded(families / "byte-level_chatml")
    talk = [user("a"), answer("bad"), user("b"), answer("ok")]
    both = task.encode({"messages": talk})
    for mark in ({"weight": 0}, {"train": False}):
        talk[1] = answer("bad", **mark)
        example = task.encode({"messages": talk})
        assert example["input_ids"].tolist() == both["input_ids"].tolist()
        learned = example["input_ids"][example["answers"] == 1].tolist()
        assert task.tokenizer.decode(learned) == "ok"  # type: ignore[attr-defined]
        talk[3] = answer("ok", **mark)
        with pytest.raises(UnfitError, match="no answer of the conversation is to be learned"):
            task.encode({"messages": talk})
        talk[3] = answer("ok")
    with pytest.raises(DataError, match="weight of an answer is not understood"):
        task.encode({"messages": [user("a"), answer("b", weight=0.5)]})
    with pytest.raises(DataError, match="only answers are learned"):
        task.encode({"messages": [{**user("a"), "train": True}, answer("b")]})


def test_the_end_token_of_answers_within_a_conversation_is_the_template_s_own(
    families: Path,
) -> None:
    """T2: Phi-3 writes ``eos_token`` once, at the very end."""
    hf, task = loaded(families / "spm_phi-3")
    example = task.encode({"messages": TALKS[1]})
    ids = example["input_ids"]
    ends = [i for i in np.flatnonzero(example["answers"]) if ids[i] == task.ports().end]
    assert [hf.convert_ids_to_tokens(int(ids[i])) for i in ends] == ["<|end|>", "<|end|>"]
    stops = hf.convert_ids_to_tokens([task.ports().end, *task.ports().ends])
    assert stops[:2] == ["<|end|>", "<|endoftext|>"]


def test_reasoning_that_the_template_drops_is_counted(families: Path) -> None:
    _, task = loaded(families / "byte-level_qwen3")
    thought = "<think>\nhm\n</think>\n\nyes"
    talk = [user("a"), answer(thought), user("b"), answer(thought)]
    example = task.encode({"messages": talk})
    assert task.supervision(example).notes == (
        "answers whose reasoning the chat template leaves out",
    )
    assert task.supervision(task.encode({"messages": talk[2:]})).notes == ()
    apart = [user("a"), answer("yes", reasoning_content="hm"), user("b"), answer("no")]
    assert len(task.supervision(task.encode({"messages": apart})).notes) == 1
    unread = [{**user("a"), "emotion": "glad"}, answer("b", reasoning_content="hm")]
    assert task.supervision(task.encode({"messages": unread})).notes == (
        "fields of messages not read: emotion",
    )


CALL = {"type": "function", "function": {"name": "look_up", "arguments": {"city": "北京"}}}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def test_tools_and_calls_are_those_of_transformers(families: Path) -> None:
    hf, task = loaded(families / "byte-level_qwen3")
    talk = [
        user("a"),
        answer("", tool_calls=[CALL]),
        {"role": "tool", "content": "20"},
        answer("c"),
    ]
    ids = hf.apply_chat_template(talk, tools=[TOOL], return_dict=False)
    for tools in ([TOOL], json.dumps([TOOL])):
        example = task.encode({"messages": talk, "tools": tools})
        assert example["input_ids"].tolist() == ids[: len(example["input_ids"])]
        said = hf.decode(example["input_ids"][example["answers"] == 1].tolist())
        assert "look_up" in said
        assert "20" not in said
    shared = [
        {"from": "human", "value": "a"},
        {"from": "function_call", "value": json.dumps(CALL["function"])},
        {"from": "observation", "value": "20"},
        {"from": "gpt", "value": "c"},
    ]
    again = task.encode({"messages": shared, "tools": [TOOL]})
    assert again["input_ids"].tolist() == example["input_ids"].tolist()
    assert again["answers"].tolist() == example["answers"].tolist()


def test_what_the_template_cannot_write_is_refused(families: Path) -> None:
    _, task = loaded(families / "byte-level_chatml")
    talk = [user("a"), answer("b")]
    with pytest.raises(DataError, match="leaves out the field 'tools'"):
        task.encode({"messages": talk, "tools": [TOOL]})
    with pytest.raises(DataError, match="leaves out the field 'tool_calls'"):
        task.encode({"messages": [user("a"), answer("", tool_calls=[CALL])]})
    with pytest.raises(DataError, match="'narrator' is not known") as caught:
        task.encode({"messages": [{"role": "narrator", "content": "x"}, *talk], "_where": "f:7"})
    assert "f:7" in str(caught.value.where)
    with pytest.raises(DataError, match="only text is read"):
        task.encode({"messages": [{"role": "user", "content": [{"type": "image"}]}, talk[1]]})
    parts = [{"role": "user", "content": [{"type": "text", "text": "a"}]}, talk[1]]
    assert task.encode({"messages": parts})["input_ids"].tolist() == (
        task.encode({"messages": talk})["input_ids"].tolist()
    )
    # Without a place for calls, what a turn says is the answer.
    shared = [{"from": "human", "value": "a"}, {"from": "function_call", "value": '{"name": "f"}'}]
    example = task.encode({"messages": shared})
    said = task.tokenizer.decode(example["input_ids"][example["answers"] == 1].tolist())  # type: ignore[attr-defined]
    assert said == '{"name": "f"}'


def test_preferences_are_refused_or_set_apart(families: Path) -> None:
    _, task = loaded(families / "byte-level_chatml")
    with pytest.raises(DataError, match="tuning on preferences does not exist"):
        task.encode({"prompt": "a", "chosen": "b", "rejected": "c"})
    with pytest.raises(UnfitError, match="label: false"):
        task.encode({"prompt": "a", "completion": "b", "label": False})
    good = task.encode({"prompt": "a", "completion": "b", "label": True})
    assert good["answers"].any()
    told = {"instruction": "b", "output": "c", "history": [["a", "b"]], "system": "s"}
    whole = [{"role": "system", "content": "s"}, user("a"), answer("b"), user("b"), answer("c")]
    assert task.encode(told)["input_ids"].tolist() == (
        task.encode({"messages": whole})["input_ids"].tolist()
    )


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
    assert task.ports().bos == hf.convert_tokens_to_ids("<s>")
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
        assert task.ports().segments == (1 if name == "roberta" else 2)
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
