"""Tokens: what a model reads is what transformers gives for the same text, whatever the family."""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luban.core.contracts import Task
from luban.core.errors import DataError, UnfitError
from tests.chat_families import (
    FAMILIES,
    READERS,
    theirs,
    write_family,
)
from tests.exports.chats import encoded

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
        ids, mask = encoded(hf, talk, made.ends)
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
    ends = [i for i in np.flatnonzero(example["answers"]) if ids[i] == task.signature().end]
    assert [hf.convert_ids_to_tokens(int(ids[i])) for i in ends] == ["<|end|>", "<|end|>"]
    stops = hf.convert_ids_to_tokens([task.signature().end, *task.signature().ends])
    assert stops[:2] == ["<|end|>", "<|endoftext|>"]


def test_reasoning_that_the_template_drops_is_counted(families: Path) -> None:
    _, task = loaded(families / "byte-level_qwen3")
    thought = "<think>\nhm\n</think>\n\nyes"
    talk = [user("a"), answer(thought), user("b"), answer(thought)]
    example = task.encode({"messages": talk})
    assert task.target_summary(example).notes == {
        "answers whose reasoning the chat template leaves out": 1
    }
    assert task.target_summary(task.encode({"messages": talk[2:]})).notes == {}
    apart = [user("a"), answer("yes", reasoning_content="hm"), user("b"), answer("no")]
    assert len(task.target_summary(task.encode({"messages": apart})).notes) == 1
    unread = [{**user("a"), "emotion": "glad"}, answer("b", reasoning_content="hm")]
    assert task.target_summary(task.encode({"messages": unread})).notes == {
        "fields of messages not read: emotion": 1
    }


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
