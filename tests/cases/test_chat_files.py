"""Conversations in files: calls of tools, reasoning, and ends, as ``luban prepare`` reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chat_families import theirs, write_family
from tests.life import Said, luban

CALL = {"name": "look_up", "arguments": {"city": "北京"}}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
SHARED = [
    {"from": "human", "value": "How warm is it?"},
    {"from": "function_call", "value": json.dumps(CALL)},
    {"from": "observation", "value": "20"},
    {"from": "gpt", "value": "It is 20."},
]
CALLED = [
    {"role": "user", "content": "How warm is it?"},
    {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": CALL}]},
    {"role": "tool", "content": "20"},
    {"role": "assistant", "content": "It is 20."},
]
THOUGHT = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nyes"},
    {"role": "user", "content": "b"},
    {"role": "assistant", "content": "<think>\nso\n</think>\n\nno"},
]
SEVERAL = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"},
    {"role": "assistant", "content": "d"},
]


def prepared(folder: Path, reader: str, family: str, rows: list[dict[str, Any]]) -> Said:
    """Prepare a run over a file of conversations."""
    base = write_family(folder / "base", reader, family)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "talks.jsonl").write_text("".join(lines), encoding="utf-8")
    fields = {"messages": "conversations"} if "conversations" in rows[0] else {}
    recipe = {
        "name": "run",
        "data": {
            "max_overlap": 1.0,
            "source": {"name": "jsonl", "path": str(folder / "talks.jsonl"), "fields": fields},
            "split": {"by": "order", "validation": 0.2, "test": 0.2},
        },
        "task": {
            "name": "instruction-tuning",
            "tokenizer": {"name": "pretrained", "path": str(base)},
            "context": 512,
        },
        "model": {"name": "gpt", "hidden_size": 8, "num_hidden_layers": 1,
                  "num_attention_heads": 1},
        "train": {"max_steps": 1, "batch_size": 2},
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True), "utf-8")
    return luban("prepare", folder / "recipe.yaml", f"runs={folder}")


def claims(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / "run/reports/prepare.json").read_text(encoding="utf-8"))
    return {name: claim["value"] for name, claim in report["claims"].items()}


@pytest.mark.parametrize("field", ["messages", "conversations"])
def test_calls_of_tools_are_learned_and_what_tools_say_is_not(field: str, tmp_path: Path) -> None:
    talk = CALLED if field == "messages" else SHARED
    said = prepared(tmp_path, "byte-level", "qwen3", [{field: talk, "tools": [TOOL]}] * 10)
    assert said.code == 0, said.err
    hf = theirs(tmp_path / "base")
    answers = [
        hf.apply_chat_template(CALLED[:n], tools=[TOOL], tokenize=False, add_generation_prompt=True)
        for n in (1, 3)
    ]
    whole = hf.apply_chat_template(CALLED, tools=[TOOL], tokenize=False)
    ends = [whole.index("<|im_end|>", len(before)) for before in answers]
    learned = sum(
        len(hf(whole[len(before) : end], add_special_tokens=False).input_ids)
        for before, end in zip(answers, ends, strict=True)
    )
    assert claims(tmp_path)["train/supervised positions"] == 6 * learned, "and each answer's end"


def test_reasoning_that_the_template_drops_is_counted_and_shown(tmp_path: Path) -> None:
    said = prepared(tmp_path, "byte-level", "qwen3", [{"messages": THOUGHT}] * 10)
    assert said.code == 0, said.err
    note = "answers whose reasoning the chat template leaves out"
    assert note in said.err
    assert [v for k, v in claims(tmp_path).items() if k == f"train/{note}"] == [6]


def test_an_end_token_at_the_very_end_alone_does_not_end_answers(tmp_path: Path) -> None:
    """T2: Phi-3 ends answers with a token of its own, conversations with ``eos_token``."""
    said = prepared(tmp_path, "spm", "phi-3", [{"messages": SEVERAL}] * 10)
    assert said.code == 0, said.err
    assert not [k for k, v in claims(tmp_path).items() if "cut" in k and v]


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ({"messages": [{"role": "narrator", "content": "x"}, *SEVERAL]}, "'narrator'"),
        ({"messages": SEVERAL, "tools": [TOOL]}, "'tools'"),
        ({"messages": CALLED}, "'tool_calls'"),
    ],
)
def test_what_the_template_cannot_write_is_set_apart_by_its_line(
    row: dict[str, Any], match: str, tmp_path: Path
) -> None:
    said = prepared(tmp_path, "byte-level", "chatml", [{"messages": SEVERAL}] * 9 + [row])
    assert said.code == 0, said.err
    shown = said.out + said.err
    assert "set apart" in shown
    assert "talks.jsonl:10" in shown
    assert match in shown
