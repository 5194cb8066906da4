"""Bad input: exit code 2, one message that says what, where and what to do, no traceback."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.life import luban, write_life

RECIPE = Path("tiny.yaml")


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_life(tmp_path)


def swapped(old: str, new: str) -> Callable[[], None]:
    """Change the recipe's text."""

    def change() -> None:
        text = RECIPE.read_text()
        assert old in text
        RECIPE.write_text(text.replace(old, new, 1))

    return change


def data(content: bytes | str) -> Callable[[], object]:
    """Change the data."""
    raw = content.encode() if isinstance(content, str) else content
    return lambda: Path("text.txt").write_bytes(raw)


def jsonl(*rows: Any) -> Callable[[], None]:
    """Read rows of JSON instead of text."""

    def change() -> None:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        Path("rows.jsonl").write_text("\n".join(lines))
        swapped(TEXT, JSONL)()

    return change


TEXT = "name: text\n    path: text.txt\n    document: line"
JSONL = "name: jsonl\n    path: rows.jsonl"
GOOD = [{"text": f"good row number {i}"} for i in range(40)]

#: What is done, the command, and the words that what, where and fix must hold.
CASES: dict[str, tuple[Callable[[], object], list[str], list[str]]] = {
    "no such recipe": (lambda: 0, ["run", "tinny.yaml"], ["no such recipe", "'tiny.yaml'"]),
    "no such run": (lambda: 0, ["verify", "runs/none"], ["no run here", "luban run"]),
    "no target": (lambda: 0, ["run"], ["RECIPE-or-RUN"]),
    "unknown verb": (lambda: 0, ["trian", "tiny.yaml"], ["no verb 'trian'", "mean 'train'"]),
    "unknown option": (lambda: 0, ["run", "tiny.yaml", "--forse"], ["--forse"]),
    "misspelt section": (
        swapped("train:", "trian:"),
        ["run", "tiny.yaml"],
        ["no section 'trian'", "tiny.yaml:", "mean 'train'"],
    ),
    "misspelt key": (
        swapped("max_steps", "max_stepz"),
        ["train", "tiny.yaml"],
        ["no field 'max_stepz'", "tiny.yaml:", "train", "mean 'max_steps'"],
    ),
    "wrong type": (
        swapped("max_steps: 24", "max_steps: many"),
        ["train", "tiny.yaml"],
        ["valid integer", "train.max_steps", "'many'|many"],
    ),
    "negative steps": (
        lambda: 0,
        ["train", "tiny.yaml", "train.max_steps=-5"],
        ["greater than", "train.max_steps", "-5"],
    ),
    "no bound": (
        swapped("max_steps: 24", "max_steps: null"),
        ["train", "tiny.yaml"],
        ["needs a bound", "max_steps: 1000"],
    ),
    "unknown model": (
        swapped("name: gpt", "name: gptt"),
        ["validate", "tiny.yaml"],
        ["no model named 'gptt'", "tiny.yaml:", "model", "mean 'gpt'"],
    ),
    "unknown optimizer": (
        lambda: 0,
        ["train", "tiny.yaml", "train.optimizer=adamm"],
        ["no optimizer named 'adamm'", "train.optimizer", "mean 'adam'"],
    ),
    "override without =": (
        lambda: 0,
        ["train", "tiny.yaml", "train.max_steps"],
        ["an override is key=value", "train.max_steps"],
    ),
    "a name with a slash": (
        lambda: 0,
        ["run", "tiny.yaml", "name=a/b"],
        ["name", "a/b"],
    ),
    "not YAML": (swapped("seed: 1", "seed: ["), ["run", "tiny.yaml"], ["not valid YAML", ":"]),
    "a recipe that is no table": (lambda: RECIPE.write_text("3"), ["run", "tiny.yaml"], ["table"]),
    "a recipe that is data": (lambda: 0, ["run", "text.txt"], ["text.txt"]),
    "missing data": (
        swapped("text.txt", "txet.txt"),
        ["run", "tiny.yaml"],
        ["no such file", "txet.txt", "mean 'text.txt'"],
    ),
    "missing folder of data": (
        swapped("text.txt", "no/such/text.txt"),
        ["prepare", "tiny.yaml"],
        ["no such folder", "no/such"],
    ),
    "empty data": (data(""), ["run", "tiny.yaml"], ["empty|no .*text|no record|nothing"]),
    "blank data": (data("\n \n\n"), ["run", "tiny.yaml"], ["empty|no .*text|no record|nothing"]),
    "binary garbage": (
        data(bytes(range(256)) * 30),
        ["run", "tiny.yaml"],
        ["not utf-8 text", "byte 128", "encoding"],
    ),
    "latin-1 as utf-8": (
        data("caf\xe9\n".encode("latin-1") * 500),
        ["validate", "tiny.yaml"],
        ["not utf-8 text", "byte 3", "latin-1"],
    ),
    "unknown encoding": (
        lambda: 0,
        ["prepare", "tiny.yaml", "data.source.encoding=utf8000"],
        ["no encoding named 'utf8000'"],
    ),
    "half a gzip": (
        data(gzip.compress(b"hello " * 5000)[:-20]),
        ["prepare", "tiny.yaml"],
        ["gzip file is damaged", "text.txt"],
    ),
    "a bad row": (
        jsonl(*GOOD, '{"text": "cut', *GOOD),
        ["prepare", "tiny.yaml", "prepare.max_unreadable=0"],
        ["not JSON", "rows.jsonl:41", "one complete JSON object"],
    ),
    "a row that is no table": (
        jsonl(*GOOD, [1]),
        ["prepare", "tiny.yaml", "prepare.max_unreadable=0"],
        ["rows.jsonl:41"],
    ),
    "no text field": (
        jsonl(*[{"body": "x y z"}] * 40),
        ["prepare", "tiny.yaml"],
        ["no text", "rows.jsonl:1", "body", "data.source.fields"],
    ),
    "text that is a number": (
        jsonl(*GOOD, {"text": 3}),
        ["validate", "tiny.yaml", "prepare.max_unreadable=0"],
        ["no text", "rows.jsonl:41"],
    ),
    "an empty split": (
        jsonl(*GOOD[:2]),
        ["run", "tiny.yaml", "data.split={by: record, validation: 0.01, test: 0.01}"],
        ["empty", "split"],
    ),
    "shares above one": (
        lambda: 0,
        ["run", "tiny.yaml", "data.split.test=0.9"],
        ["shares of 1", "data.split"],
    ),
    "the same text on both sides": (
        data("the same line again\n" * 200),
        ["run", "tiny.yaml", "data.split.by=position"],
        ["in train too|too short|empty|overlap"],
    ),
    "heads that do not fit": (
        lambda: 0,
        ["run", "tiny.yaml", "model.num_attention_heads=3"],
        ["multiple of num_attention_heads", "model"],
    ),
    "no GPU": (lambda: 0, ["train", "tiny.yaml", "train.device=cuda"], ["no CUDA device", "cpu"]),
    "two runs to compare": (lambda: 0, ["runs", "a"], ["two runs to compare"]),
    "an unknown kind": (lambda: 0, ["list", "modles"], ["no kind 'modles'", "mean 'models'"]),
    "evaluate before training": (lambda: 0, ["generate", "tiny.yaml"], ["tiny.yaml"]),
    "init of nothing": (lambda: 0, ["init", "no-such-file.txt"], ["no-such-file.txt"]),
    "init over a recipe": (
        lambda: 0,
        ["init", "text.txt", "--output", "tiny.yaml"],
        ["a file by that name", "tiny.yaml", "--force"],
    ),
    "an unknown data set": (
        swapped(TEXT, "name: catalogue\n    dataset: tinyshakespear"),
        ["prepare", "tiny.yaml"],
        ["no data set 'tinyshakespear'", "mean 'tinyshakespeare'"],
    ),
    "a pretrained folder that is none": (
        lambda: 0,
        ["run", "tiny.yaml", "model.pretrained=./nowhere"],
        ["nowhere"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_bad_input(what: str) -> None:
    prepare, command, words = CASES[what]
    prepare()
    said = luban(*command)
    assert said.code == 2, said.err
    assert "Traceback" not in said.err
    assert "fault of luban" not in said.err
    for word in words:
        assert re.search(word, said.err), said.err
    messages = [line for line in said.err.splitlines() if line.startswith("luban")]
    assert len(messages) == 1, "one clear message"
    assert not list(Path().rglob("*.tmp")), "nothing is left aside"


@pytest.mark.parametrize(
    "command", [["run", "tinny.yaml"], ["trian", "x"], ["train", "tiny.yaml", "train.max_steps=-5"]]
)
def test_errors_as_json_have_every_part(command: list[str]) -> None:
    said = luban(*command, "--json")
    assert said.code == 2
    error = said.json["error"]
    assert error.keys() == {"type", "what", "where", "expected", "got", "fix"}
    assert error["what"]


def test_a_fault_of_ours_has_code_1_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("luban.cli.verbs.run.perform", fail)
    said = luban("run", "tiny.yaml")
    assert said.code == 1
    assert "Traceback" in said.err
    assert "this is a fault of luban, not of your input" in said.err
