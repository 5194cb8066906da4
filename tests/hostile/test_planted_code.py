"""Code planted in every file of a run and in the working directory: nothing of it is run."""

from __future__ import annotations

import contextlib
import json
import pickle
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.life import ROOT, Said, done, environment, luban, write_life

RUN = Path("runs/tiny")
#: Every name that a process of Luban could import, and the files that other programs run.
TOP_LEVEL = sorted({*sys.stdlib_module_names, *packages_distributions(), "luban"})
HOOKS = ["sitecustomize", "usercustomize", "conftest", "setup", "modeling_evil", "generate"]


class _Evil:
    """What a pickle would run."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that planted code would make."""
    return tmp_path / "executed"


def program(marker: Path) -> str:
    return f"open({str(marker)!r}, 'a').write(__name__ + '\\n')\nclass Evil: pass\n"


def plant_modules(folder: Path, marker: Path, names: list[str]) -> None:
    for name in names:
        (folder / f"{name}.py").write_text(program(marker))


def plant_in_configurations(folder: Path, marker: Path) -> None:
    """Let every configuration name the code beside it."""
    code = {
        "auto_map": {
            name: "modeling_evil.Evil"
            for name in ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoTokenizer")
        },
        "custom_generate": "generate",
        "trust_remote_code": True,
    }
    for path in folder.rglob("*.json"):
        if path.name == "tokenizer.json":  # refused by what reads it, whatever is added
            continue
        data = json.loads(path.read_text())
        if isinstance(data, dict):
            path.write_text(json.dumps({**data, **code}))
    (folder / "custom_generate").mkdir()
    plant_modules(folder / "custom_generate", marker, HOOKS)


def without_digests() -> None:
    """Make the run one of an older version, in which no digest tells that a file was changed."""
    manifest = json.loads((RUN / "manifest.json").read_text())
    del manifest["digests"]
    (RUN / "manifest.json").write_text(json.dumps(manifest))
    (RUN / "digests.json").unlink()


def verbs() -> list[list[str]]:
    recipe = str(RUN / "recipe.yaml")
    Path("in.jsonl").write_text('{"text": "the cat"}\n')
    return [
        ["validate", recipe],
        ["predict", str(RUN), "in.jsonl", "--out", "out.jsonl"],
        ["generate", str(RUN), "--prompt", "the"],
        ["chat", str(RUN)],
        ["export", str(RUN), "export.formats=[huggingface]"],
        ["export", str(RUN), "export.formats=[torch-export]"],
        ["verify", str(RUN)],
        ["evaluate", str(RUN), "evaluate.num_samples=1"],
        ["card", str(RUN)],
        ["init", "text.txt", "--model", str(RUN / "model"), "--out", "made.yaml"],
        ["run", recipe],
        ["runs", "runs"],
        ["doctor"],
        ["list", "tasks"],
    ]


def every_verb() -> list[Said]:
    said = [luban(*verb) for verb in verbs()]
    for verb, answer in zip(verbs(), said, strict=True):
        assert "Traceback" not in answer.err, f"{verb}: {answer.err}"
        assert answer.code in (0, 2), f"{verb}: {answer.err}"
    return said


def test_no_program_of_a_run_is_executed(my_life: Path, marker: Path) -> None:
    for folder in [RUN, *(path for path in RUN.rglob("*") if path.is_dir())]:
        plant_modules(folder, marker, [*HOOKS, "yaml", "luban", "torch", "numpy"])
    plant_in_configurations(RUN / "model", marker)
    without_digests()
    said = every_verb()
    assert sum("brings code along" in answer.err for answer in said) >= 2
    assert not marker.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt", "huggingface"])
def test_no_program_beside_pretrained_weights_is_executed(
    name: str, my_life: Path, marker: Path
) -> None:
    """A recipe begins with a stranger's directory: its weights, and its tokenizer."""
    where = RUN / "model"
    plant_modules(where, marker, [*HOOKS, "tokenization_evil", "configuration_evil"])
    plant_in_configurations(where, marker)
    model = f"model={{name: {name}, pretrained: {where}}}"
    tokenizer = f"task.tokenizer={{name: pretrained, path: {where}}}"
    changes = [f"name={name}", model, tokenizer, "train.max_steps=1"]
    for verb in ("validate", "run"):
        answer = luban(verb, "tiny.yaml", *changes)
        assert answer.code in (0, 2), answer.err
        assert "Traceback" not in answer.err
        assert answer.code == 0 or str(where) in answer.err, answer.err
    assert not marker.exists()


@pytest.mark.slow
def test_no_pickle_of_a_run_is_opened(my_life: Path, marker: Path) -> None:
    evil = pickle.dumps(_Evil(marker))
    found = [path for path in RUN.rglob("*") if path.suffix in (".safetensors", ".npy", ".json")]
    for path in {path.name: path for path in found if path.parent.name != "reports"}.values():
        before = path.read_bytes()
        path.write_bytes(evil)
        read = [["generate", RUN, "--prompt", "the", "--max-tokens", 2]]
        for verb in [["verify", RUN, "--stage", "evaluate"], *read][path.parent.name != "model" :]:
            answer = luban(*verb)
            assert answer.code in (0, 2), answer.err
            assert "Traceback" not in answer.err, answer.err
        path.write_bytes(before)
    (RUN / "model" / "model.safetensors").rename(RUN / "model" / "pytorch_model.bin")
    (RUN / "model" / "pytorch_model.bin").write_bytes(evil)
    every_verb()
    assert not marker.exists()


def test_no_array_of_objects_is_opened(my_life: Path, marker: Path) -> None:
    objects = np.array([_Evil(marker)], dtype=object)
    np.save("evil.npy", objects, allow_pickle=True)
    np.savez("evil.npz", x=objects, y=objects)
    for name in ("evil.npy", "evil.npz"):
        recipe = write_life(my_life, {"data.source": {"name": "arrays", "path": name}})
        for answer in (luban("validate", recipe), luban("init", name)):
            assert answer.code == 2, answer.err
            assert "Traceback" not in answer.err
    assert not marker.exists()


@pytest.mark.slow  # tests/cli/test_verify.py plants code for the children of a proof, too
def test_nothing_is_imported_from_the_working_directory(my_life: Path, marker: Path) -> None:
    """As the console script starts: its own folder comes first, not the working directory."""
    plant_modules(my_life, marker, TOP_LEVEL)
    script = ROOT / "tests" / "hostile" / "console_script.py"
    commands = [["verify", str(RUN), "--resume", "--steps", "8", "--kills", "1"]]
    commands += [verb for verb in verbs() if verb[0] in ("export", "evaluate", "doctor")]
    done_in(script, commands)
    assert not marker.exists(), marker.read_text()


def test_nothing_is_imported_from_it_under_python_m(my_life: Path, marker: Path) -> None:
    """All but what Python itself imports before it comes to Luban, and Luban's own name."""
    late = [name for name in TOP_LEVEL if name not in {*sys.stdlib_module_names, "luban"}]
    plant_modules(my_life, marker, late)
    command = [sys.executable, "-m", "luban", "validate", "none.yaml"]
    assert subprocess.run(command, env=as_a_user(), capture_output=True).returncode == 2
    plant_modules(my_life, marker, TOP_LEVEL)
    command.insert(1, "-P")
    assert subprocess.run(command, env=as_a_user(), capture_output=True).returncode == 2
    assert not marker.exists(), marker.read_text()


def as_a_user() -> dict[str, str]:
    """An environment without what Luban has set in this process for its own children."""
    return {key: value for key, value in environment().items() if key != "PYTHONSAFEPATH"}


def done_in(script: Path, commands: list[list[str]]) -> None:
    """Run commands in one process, begun by a script that lies elsewhere."""
    arguments = [sys.executable, str(script), json.dumps(commands)]
    ended = subprocess.run(arguments, env=as_a_user(), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_serving_runs_nothing_of_a_run_or_the_working_directory(
    my_life: Path, marker: Path
) -> None:
    plant_modules(my_life, marker, TOP_LEVEL)
    for folder in [RUN, *(path for path in RUN.rglob("*") if path.is_dir())]:
        plant_modules(folder, marker, HOOKS)
    plant_in_configurations(RUN / "model", marker)
    without_digests()
    (RUN / "model" / "chat_template.jinja").write_text(
        "{{ cycler.__init__.__globals__.os.system('touch executed') }}"
    )
    script = ROOT / "tests" / "hostile" / "console_script.py"
    command = json.dumps([["serve", str(RUN), "--port", "0"]])
    arguments = [sys.executable, str(script), command]
    with subprocess.Popen(arguments, env=as_a_user(), stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        url = ""
        for line in server.stderr:
            if found := re.search(r"served at (http://\S+)/v1", line):
                url = found[1]
                break
        assert url, "it does not serve"
        posts: dict[str, dict[str, object]] = {
            "completions": {"prompt": "the", "max_tokens": 2},
            "chat/completions": {"messages": [{"role": "user", "content": "the"}]},
        }
        statuses = [
            httpx.post(
                f"{url}/v1/{path}", json={"model": "tiny", **body}, trust_env=False
            ).status_code
            for path, body in posts.items()
        ]
        server.terminate()
        server.stderr.read()
    assert statuses[0] == 200
    assert statuses[1] in (400, 404)
    assert not marker.exists(), marker.read_text()


def test_an_export_follows_no_link_out_of_the_run(my_life: Path) -> None:
    secret = my_life / "secret.txt"
    secret.write_text("mine")
    without_digests()
    (RUN / "model" / "vocabulary.txt").symlink_to(secret)
    for form in ("huggingface", "torch-export"):
        said = luban("export", RUN, f"export.formats=[{form}]")
        assert said.code == 2
        assert "leads out of" in said.err
        assert "vocabulary.txt" in said.err
    assert not list(RUN.glob("export/**/vocabulary.txt"))
    inside = RUN / "model" / "again.json"
    (RUN / "model" / "vocabulary.txt").unlink()
    inside.symlink_to("config.json")
    done("export", RUN, "export.formats=[huggingface]")


@pytest.mark.parametrize("name", ["log.txt", "metrics.jsonl", "figures", ".lock"])
def test_nothing_is_written_through_a_link(name: str, my_life: Path) -> None:
    """A log that is a link to ``~/.bashrc`` would be a program."""
    outside = my_life / "outside"
    if (RUN / name).is_dir():
        outside.mkdir()
        shutil.rmtree(RUN / name)
    else:
        outside.write_text("")
        (RUN / name).unlink(missing_ok=True)
    (RUN / name).symlink_to(outside)
    for verb in (["run", RUN], ["train", RUN, "--force"], ["evaluate", RUN, "--force"]):
        said = luban(*verb)
        assert said.code == 2
        assert name in said.err
    with contextlib.suppress(NotADirectoryError):
        assert not list(outside.iterdir())
    assert outside.is_dir() or outside.read_text() == ""


def test_figures_are_drawn_by_no_settings_of_others(my_life: Path) -> None:
    """A ``matplotlibrc`` in the working directory is read when matplotlib is imported."""
    import matplotlib as mpl

    before = (RUN / "figures" / "loss.png").read_bytes()
    with mpl.rc_context({"lines.linewidth": 20, "figure.facecolor": "red"}):
        done("train", RUN, "--force")
    assert (RUN / "figures" / "loss.png").read_bytes() == before
