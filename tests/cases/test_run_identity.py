"""What a run consists of: files that others may read, and weights from outside that decide it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.life import done, luban


@pytest.fixture(
    params=[
        pytest.param(0o022, id="others may read"),
        pytest.param(0o077, id="others may not", marks=pytest.mark.slow),
    ]
)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_files_have_the_permissions_of_the_umask(umask: int, my_life: Path) -> None:
    """Libraries write through temporary files of mode 0600: nobody else could read a model."""
    formats = "export={formats: [huggingface, torch-export, onnx]}"
    adapter = "train.adapter={name: lora}"
    done("run", "tiny.yaml", "name=all", "train.max_steps=2", formats, adapter)
    paths = list(Path("runs/all").rglob("*"))
    assert {path.suffix for path in paths} >= {".safetensors", ".json", ".onnx", ".pt2", ".png"}
    wrong = {
        str(path): oct(path.stat().st_mode & 0o777)
        for path in paths
        if path.stat().st_mode & 0o777 != (0o777 if path.is_dir() else 0o666) & ~umask
    }
    assert not wrong


def _change_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = {name: tensor + 0.01 for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


OUTSIDE: dict[str, tuple[str, str]] = {
    "a teacher": (
        "train.objectives=[{name: distillation, teacher: other}]",
        "train.objectives.0.teacher",
    ),
    "pretrained weights": ("model={name: gpt, pretrained: other/model}", "model.pretrained"),
}


@pytest.mark.parametrize("what", OUTSIDE)
def test_weights_from_outside_belong_to_a_run(what: str, my_life: Path) -> None:
    """With other weights under the same name a run is another one: it is trained anew, or told."""
    option, place = OUTSIDE[what]
    shutil.copytree("runs/tiny", "other")
    arguments: tuple[Any, ...] = ("tiny.yaml", "name=mine", option)
    if what == "pretrained weights":
        arguments = (_without_sizes(), "name=mine", option)
    done("train", *arguments)
    assert "checkpoint-24" not in done("train", *arguments).err, "nothing to do again"
    _change_weights(Path("other/model"))
    said = luban("train", *arguments)
    assert said.code == 2, "not trained on as if nothing had changed"
    assert f"content of {place}" in said.err


def _without_sizes() -> Path:
    recipe = yaml.safe_load(Path("tiny.yaml").read_text())
    recipe["model"] = {"name": "gpt"}
    recipe["task"]["tokenizer"] = {"name": "pretrained", "path": "other/model"}
    path = Path("start.yaml")
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_a_second_task_is_known_by_its_data(my_life: Path) -> None:
    rows = Path("second.jsonl")
    rows.write_text('{"text": "the cat"}\n{"text": "a dog runs"}\n' * 4)
    second = "{name: multi-task, task: {name: text-generation, tokenizer: char, context: 6}, "
    option = f"train.objectives=[{second}source: {{name: jsonl, path: second.jsonl}}}}]"
    done("train", "tiny.yaml", "name=two", option)
    rows.write_text('{"text": "other words"}\n' * 8)
    said = luban("train", "tiny.yaml", "name=two", option)
    assert said.code == 2
    assert "content of train.objectives.0.source" in said.err


def test_an_export_is_told_once(my_life: Path) -> None:
    said = done("export", "runs/tiny")
    log = Path("runs/tiny/log.txt").read_text()
    assert log.count("export: huggingface") == 1
    assert said.err.count("export: huggingface") <= 1
    assert torch.is_tensor(load_file("runs/tiny/export/huggingface/model.safetensors").popitem()[1])
