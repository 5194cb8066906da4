"""``luban chat``: on a pipe, as JSON, and with runs that cannot."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from luban.core.contracts import Generative
from luban.run import Run
from luban.trained import load_trained
from tests.life import done, luban
from tests.serving.running import client_of, serving

SPLITS = ("train", "validation", "test")
RECIPE: dict[str, Any] = {
    "name": "talker",
    "data": {
        "source": {"name": "jsonl", "path": dict.fromkeys(SPLITS, "rows.jsonl")},
        "max_overlap": 1.0,
    },
    "task": {"name": "instruction-tuning", "tokenizer": "char", "context": 96},
    "model": {"name": "gpt", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    "train": {
        "max_steps": 60,
        "batch_size": 8,
        "optimizer": {"name": "adamw", "learning_rate": 0.02},
        "precision": "fp32",
        "compile": "off",
        "save_steps": 60,
        "eval_steps": 60,
    },
    "evaluate": {"bootstrap_rounds": 100},
}


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("talker")
    rows = [{"prompt": "abcd"[i % 4], "completion": "ABCD"[i % 4] * 3} for i in range(60)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "talker.yaml").write_text(yaml.safe_dump(RECIPE))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done("run", "talker.yaml")
        done("verify", "runs/talker")
    return folder / "runs/talker"


def chat(monkeypatch: pytest.MonkeyPatch, text: str, *arguments: object) -> Any:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    return luban("chat", *arguments)


def test_it_learned_to_answer_and_to_stop(talker: Path) -> None:
    report = json.loads((talker / "reports/evaluate.json").read_text())["claims"]
    assert report["test/loss"]["value"] < report["test/unigram/loss"]["value"] / 2


def test_lines_in_answers_out(talker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = chat(monkeypatch, "b\n\n/reset\nd\n/exit\na\n", talker, "--temperature", "0")
    assert said.code == 0, said.err
    assert said.out.split() == ["BBB", "DDD"]
    assert "begins anew" in said.err


def test_json_lines_and_turns_forgotten(talker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = chat(monkeypatch, "a\n" * 4, talker, "--json", "--temperature", "0", "--max-tokens", "8")
    assert said.code == 0
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert answers[0] == {
        "role": "assistant",
        "content": "AAA",
        "finish_reason": "stop",
        "completion_tokens": 4,
        "forgotten_turns": 0,
    }
    assert sum(answer["forgotten_turns"] for answer in answers) > 0
    assert "the context is full" in said.err


def test_what_cannot_be_answered_is_said(talker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = chat(monkeypatch, f"{'x' * 200}\na\n", talker, "--json", "--temperature", "0")
    assert said.code == 2
    first, second = map(json.loads, said.out.splitlines())
    assert "too long" in first["error"]
    assert second["content"] == "AAA"
    assert "Traceback" not in said.err


def test_a_run_that_cannot_chat(my_life: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = chat(monkeypatch, "hi\n", "runs/tiny")
    assert said.code == 2
    assert "cannot chat" in said.err
    assert "luban generate" in said.err


def test_weights_of_another_run_are_measured_without_training(
    talker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Multiple choice by the likelihoods of a model that another run trained."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"query": "abcd"[i % 4], "choices": ["AAA", "BBB", "CCC", "DDD"], "gold": i % 4}
        for i in range(40)
    ]
    Path("choices.jsonl").write_text("\n".join(map(json.dumps, rows)))
    before = "<|im_end|>\n<|im_start|>assistant\n"
    recipe = {
        "name": "examined",
        "data": {
            "source": {"name": "jsonl", "path": dict.fromkeys(SPLITS, "choices.jsonl")},
            "max_overlap": 1.0,
        },
        "task": {
            "name": "multiple-choice",
            "context": 96,
            "delimiter": before,
            "tokenizer": {"name": "pretrained", "path": str(talker / "model")},
        },
        "model": {"name": "gpt", "pretrained": str(talker / "model")},
        "train": {"max_steps": 0},
        "evaluate": {"bootstrap_rounds": 100},
    }
    Path("examined.yaml").write_text(yaml.safe_dump(recipe))
    done("run", "examined.yaml")
    run = Path("runs/examined")
    weights = "model/model.safetensors"
    assert (run / weights).read_bytes() == (talker / weights).read_bytes()
    claims = json.loads((run / "reports/evaluate.json").read_text())["claims"]
    assert claims["test/chance/choice-accuracy"]["value"] == 0.25
    assert 0 <= claims["test/choice-accuracy"]["value"] <= 1
    card = (run / "README.md").read_text()
    assert "Not trained here" in card
    done("verify", "runs/examined")
    done("train", "examined.yaml")
    answer = done("predict", run, "query=a", 'choices=["AAA", "BBB"]', "--json").json
    assert set(answer) >= {"choice", "scores"}


def test_it_is_served_as_openai_does(talker: Path) -> None:
    run = Run.open(talker)
    task, module = load_trained(run)
    assert isinstance(task, Generative)
    with serving(task.generator(module)) as server, client_of(server) as client:
        said: Any = [{"role": "user", "content": "c"}]
        answer = client.chat.completions.create(model="tiny", messages=said, temperature=0)
    assert answer.choices[0].message.content == "CCC"
    assert answer.choices[0].finish_reason == "stop"
