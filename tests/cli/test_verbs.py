"""Every verb answers, on a terminal and as JSON; help is at hand and comes at once."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from luban import __version__
from luban.cli.verbs.list import KINDS
from luban.core import contracts, registry
from luban.core.component import Component
from tests.life import ROOT, done, environment, luban, start, write_life

RUN = Path("runs/tiny")
VERBS = registry.names("verbs") + registry.names("stages")


@pytest.mark.parametrize("flags", [["--help"], ["-h"], ["help"], []])
def test_help_names_every_verb_with_a_line(flags: list[str]) -> None:
    said = done(*flags)
    for verb in VERBS:
        assert re.search(rf"^  {verb} +\S.+$", said.out, re.MULTILINE)
    assert __version__ in said.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json(verb: str) -> None:
    said = done(verb, "--help")
    assert said.out.startswith(f"usage: luban {verb}")
    assert "--json" in said.out


def test_version() -> None:
    assert done("--version").out.strip() == f"luban {__version__}"


@pytest.mark.parametrize("module", ["luban", "luban.cli.main"])
def test_help_imports_nothing_heavy(module: str) -> None:
    """What makes a command line slow is what it imports; time itself depends on the machine."""
    code = (
        f"import sys\nfrom {'luban.cli.main' if module == 'luban' else module} import main\n"
        "code = main(['--help'])\nprint(*sorted(sys.modules), file=sys.stderr)\nsys.exit(code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    loaded = set(ran.stderr.split())
    assert not loaded & {"torch", "numpy", "rich", "yaml", "tokenizers", "safetensors"}
    assert not loaded & {"pydantic", "matplotlib", "transformers"}
    ours = {name for name in loaded if name.startswith("luban.")}
    light = {"core", "core.registry", "core.errors", "core.progress", "cli", "cli.main"}
    assert ours <= {f"luban.{name}" for name in light | {"cli.terminal"}}
    assert len(loaded) < 200


def test_the_contracts_load_without_torch() -> None:
    code = "import sys, luban.core.contracts, luban.core.report; print('torch' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    assert ran.stdout.strip() == "False"


def test_list_names_every_component() -> None:
    said, plain = done("list", "--json").json, done("list").out
    assert tuple(said) == KINDS
    for kind, members in said.items():
        assert list(members) == registry.names(kind)
        for name, line in members.items():
            assert line, f"{kind}/{name} has no first line"
            assert name in plain
    assert done("list", "optimizers", "--json").json == {"optimizers": said["optimizers"]}


def test_list_knows_every_kind() -> None:
    kinds = {
        kind.kind
        for _, kind in inspect.getmembers(contracts, inspect.isclass)
        if issubclass(kind, Component) and kind is not Component
    }
    assert set(KINDS) == kinds


def test_json_schema_is_one() -> None:
    schema = done("list", "--json-schema").json
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"name", "data", "task", "model", "train", "evaluate"} <= schema["properties"].keys()


def test_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    said = done("doctor", "--json").json
    assert said["software"]["luban"] == __version__
    assert said["machine"]["cores"] == len(os.sched_getaffinity(0))
    serve = said["extras"]["serve"]["libraries"]
    assert sorted(serve) == [
        "fastapi",
        "jsonschema-rs",
        "prometheus-client",
        "python-multipart",
        "uvicorn",
    ]
    assert all(not extra["missing"] for extra in said["extras"].values())
    real = done("doctor").out
    assert "installed" in real
    monkeypatch.setattr("luban.cli.verbs.doctor._installed", lambda name: name != "mlflow-skinny")
    lacking = done("doctor").out
    assert "lacks mlflow-skinny" in lacking
    assert "pip install 'luban[mlflow]'" in lacking


def test_doctor_tells_what_every_extra_is_for() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    section = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    extras = set(re.findall(r"^(\w+) = ", section, re.MULTILINE)) - {"all", "dev"}
    assert done("doctor", "--json").json["extras"].keys() == extras


def test_runs_lists_and_compares(my_life: Path) -> None:
    [row] = done("runs", "--json").json
    assert row["run"] == "tiny"
    assert row["task"] == "text-generation"
    assert row["done"] == "card evaluate prepare train"
    assert "test/loss" in row["headline"]
    done("train", "tiny.yaml", "name=other", "train.max_steps=3")
    (Path("runs") / "broken").mkdir()
    (Path("runs") / "broken" / "recipe.yaml").write_text("model: gtp\n")
    plain = done("runs").out
    assert {"broken", "other", "tiny"} <= set(plain.split())
    both = done("runs", RUN, "runs/other", "--json").json
    assert set(both["recipe"]) == {"name: 'tiny' -> 'other'", "train.max_steps: 24 -> 3"}
    assert both["claims"]["train steps"] == ["24 steps", "3 steps"]
    assert both["claims"]["evaluate test/loss"][1] == ""
    assert "train prepare" not in both["claims"]
    assert "train.max_steps: 24 -> 3" in done("runs", RUN, "runs/other").out


def test_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert done("runs", "--json").json == []
    assert "no runs in runs/" in done("runs").out


def test_generate(my_life: Path) -> None:
    options = ["--prompt", "the cat", "--max-tokens", "12", "--seed", "5"]
    plain = done("generate", RUN, *options).out
    assert plain.startswith("the cat")
    [answer] = done("generate", RUN, *options, "--json").json
    assert plain == f"the cat{answer['text']}\n"
    assert answer["finish_reason"] in ("length", "stop")
    assert answer["completion_tokens"] <= 12
    three = done("generate", RUN, *options, "-n", "3", "--json").json
    assert [a["index"] for a in three] == [0, 1, 2]
    assert three[0]["text"] == answer["text"]
    greedy = [done("generate", RUN, *options, "--temperature", "0", "--json").json for _ in "ab"]
    assert greedy[0] == greedy[1]
    assert "--- 2 of 2" in done("generate", RUN, *options, "-n", "2").out


def test_generate_reads_standard_input(my_life: Path) -> None:
    process = start("generate", RUN, "--prompt", "-", "--max-tokens", "2", stdin=subprocess.PIPE)
    out, errors = process.communicate("the dog", timeout=60)
    assert process.returncode == 0, errors
    assert out.startswith("the dog")


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--temperature", "-1", "temperature is out of range"),
        ("--top-p", "0", "top_p is out of range"),
        ("--max-tokens", "0", "max_tokens is out of range"),
        ("-n", "0", "n is out of range"),
        ("--temperature", "hot", "invalid float"),
        ("--stop", "", "stop must be texts"),
    ],
)
def test_generate_out_of_range(option: str, value: str, word: str, my_life: Path) -> None:
    said = luban("generate", RUN, option, value)
    assert said.code == 2
    assert word in said.err
    assert "Traceback" not in said.err


def test_validate_says_what_would_be_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_life(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    facts = done("validate", "tiny.yaml", "--json").json
    assert {"train records", "parameters", "batch", "memory, about"} <= facts.keys()
    assert "loss before training" in done("validate", "tiny.yaml").out
    assert sorted(tmp_path.rglob("*")) == before


def test_validate_names_bad_rows_and_what_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = write_life(tmp_path)
    rows = [{"text": "good"} if i % 50 else {"body": "bad"} for i in range(1, 161)]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = "data.source={name: jsonl, path: rows.jsonl}"
    options = [source, "data.split={by: record, validation: 0.0, test: 0.0}"]
    facts = done("validate", recipe, *options, "--json").json
    assert re.findall(r"rows\.jsonl:(\d+)", facts["train set apart"]) == ["50", "100", "150"]
    said = luban("validate", recipe, *options, "prepare.max_unreadable=0.01")
    assert said.code == 2
    assert "3 of 160 records cannot be used" in said.err
    assert set(re.findall(r"rows\.jsonl:(\d+)", said.err)) == {"50", "100", "150"}
    large = luban("validate", recipe, "train.batch_size=16000000")
    assert large.code == 2
    assert "would not fit in memory" in large.err
    assert "gradient_accumulation_steps" in large.err


def test_init_writes_a_recipe_that_validates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_life(tmp_path)
    said = done("init", "text.txt", "--json").json
    assert said["recipe"] == "text.yaml"
    assert yaml.safe_load(Path("text.yaml").read_text())["name"] == "text"
    assert done("validate", "text.yaml").code == 0


@pytest.mark.parametrize("verb", ["prepare", "train", "evaluate", "card", "run"])
def test_stages_answer_in_json(verb: str, my_life: Path) -> None:
    reports = done(verb, "tiny.yaml", "--json").json
    assert reports.keys() >= ({verb} if verb != "run" else {"prepare", "train", "evaluate", "card"})
    for name, report in reports.items():
        assert report["stage"] == name
        assert report["claims"]


def test_a_closed_pipe_is_no_fault(my_life: Path) -> None:
    command = f"{sys.executable} -m luban list | head -n 1"
    ran = subprocess.run(
        command, shell=True, capture_output=True, text=True, env=environment(), timeout=60
    )
    assert ran.stdout
    assert "Traceback" not in ran.stderr
    assert "fault of luban" not in ran.stderr
