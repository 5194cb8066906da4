"""Training through the command line: killed, stopped, damaged, crowded out, cut in pieces."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from luban.engine.compiling import Compiler
from luban.engine.run_state import Decision
from tests.life import done, lines_of, losses_of, luban, start, write_life

RUN = Path("runs/tiny")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh recipe in a fresh working directory."""
    monkeypatch.chdir(tmp_path)
    return write_life(tmp_path)


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def begins_after(process: subprocess.Popen[str], log: Path, lines: int) -> None:
    """Wait until a training has logged some lines."""
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") < lines):
        time.sleep(0.003)


def kill(process: subprocess.Popen[str], with_signal: int) -> str:
    process.send_signal(with_signal)
    _, errors = process.communicate(timeout=60)
    return errors


slow = pytest.mark.slow


@pytest.mark.parametrize("compiled", [0.5, 2.0])
def test_a_compiled_step_that_is_slower_is_given_up(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, compiled: float
) -> None:
    class Twin(torch.nn.Module):
        calls = 0

        def __init__(self, model: torch.nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, *given: Any, **named: Any) -> Any:
            Twin.calls += 1
            return self.model(*given, **named)

    def seconds(model: torch.nn.Module, *_: Any) -> float:
        return compiled if isinstance(model, Twin) else 1.0

    monkeypatch.setattr(Compiler, "compile", lambda _, model: Twin(model))
    monkeypatch.setattr(Compiler, "decide", lambda *_: Decision(True, "worth a try"))
    monkeypatch.setattr("luban.stages.training.loop.time_step", seconds)
    done("train", recipe, "train.compile=auto", "train.max_steps=3")
    said = json.loads((RUN / "training.json").read_text())["compiled"]
    assert said["compile"] == (compiled < 1)
    assert said["reason"] == f"a step takes {compiled:.3g} s compiled, 1 s not"
    assert bool(Twin.calls) == (compiled < 1), "what was decided is what is trained"


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("muon", marks=slow)])
def test_kill_minus_nine_at_random_moments(optimizer: str, recipe: Path) -> None:
    options = [f"train.optimizer.name={optimizer}", "train.max_steps=120", "train.save_steps=7"]
    options += ["train.ema_decay=0.9", "train.optimizer.learning_rate=0.01", "train.eval_steps=15"]
    done("train", recipe, "name=whole", *options)
    moments = random.Random(optimizer)
    for share in (0.2, 0.6):
        process = start("train", recipe, "name=killed", *options)
        begins_after(process, Path("runs/killed/metrics.jsonl"), int(120 * share))
        time.sleep(moments.random() * 0.05)
        kill(process, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, "killed while training"
    done("train", recipe, "name=killed", *options)
    assert "goes on from checkpoint-" in Path("runs/killed/log.txt").read_text()
    assert lines_of(Path("runs/killed")) == lines_of(Path("runs/whole"))
    assert weights(Path("runs/killed")) == weights(Path("runs/whole"))
    done("verify", "runs/killed", "--stage", "train")


@slow
def test_kill_minus_nine_in_any_stage(recipe: Path) -> None:
    """Moments from the first import to the last write, over the whole life."""
    begin = time.monotonic()
    process = start("run", recipe, "name=whole")
    process.communicate(timeout=120)
    assert process.returncode == 0
    whole = time.monotonic() - begin
    moments = random.Random(0)
    for _ in range(12):
        process = start("run", recipe)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0.3, 0.9) * whole)
        kill(process, signal.SIGKILL)
    done("run", recipe)
    assert lines_of(RUN) == lines_of(Path("runs/whole"))
    assert weights(RUN) == weights(Path("runs/whole"))
    done("verify", RUN)


def test_kill_before_the_first_checkpoint_and_while_preparing(recipe: Path) -> None:
    done("train", recipe, "name=whole")
    for wait in (0.0, 0.4):
        process = start("train", recipe)
        while process.poll() is None and not (RUN / "recipe.yaml").exists():
            time.sleep(0.003)
        time.sleep(wait)
        kill(process, signal.SIGKILL)
    done("train", recipe)
    assert lines_of(RUN) == lines_of(Path("runs/whole"))
    assert weights(RUN) == weights(Path("runs/whole"))


@pytest.mark.parametrize("kind", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=slow)])
def test_a_stop_signal_saves_first(kind: signal.Signals, recipe: Path) -> None:
    options = ["train.max_steps=600", "train.save_steps=600", "train.eval_steps=600"]
    process = start("train", recipe, *options)
    begins_after(process, RUN / "metrics.jsonl", 20)
    errors = kill(process, kind)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "the same command goes on from the last checkpoint" in errors
    saved = json.loads((RUN / "last_checkpoint").read_text().strip().removeprefix("checkpoint-"))
    assert saved >= 20
    assert len(losses_of(RUN)) == saved
    assert f"goes on from checkpoint-{saved}" in done("train", recipe, *options).err
    assert [row["step"] for row in lines_of(RUN) if "loss" in row] == list(range(1, 601))


def harm(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_corrupt_checkpoint_falls_back_and_says_so(my_life: Path) -> None:
    before, trained = lines_of(RUN), weights(RUN)
    harm(RUN / "checkpoint-24" / "model.safetensors")
    said = done("train", "tiny.yaml", "--force")
    assert "checkpoint-24 is damaged" in said.err
    assert "model.safetensors does not match its digest" in said.err
    assert "goes on from checkpoint-16" in said.err
    assert lines_of(RUN) == before
    assert weights(RUN) == trained


def test_every_checkpoint_corrupt_is_refused(my_life: Path) -> None:
    for path in RUN.glob("checkpoint-*/model.safetensors"):
        harm(path)
    said = luban("train", "tiny.yaml", "--force")
    assert said.code == 2
    assert "no checkpoint can be read" in said.err
    assert "remove the checkpoint-* folders" in said.err


@pytest.mark.parametrize(
    "harmed", ["training.json", "prepared.json", "manifest.json", "reports/train.json"]
)
@pytest.mark.parametrize("content", ["", "{", "[]", "{}"], ids=["empty", "cut", "list", "bare"])
def test_a_damaged_file_of_a_run_is_named(harmed: str, content: str, my_life: Path) -> None:
    (RUN / harmed).write_text(content)
    said = luban("verify", RUN)
    assert said.code == 2
    assert Path(harmed).name in said.err or "report" in said.err
    assert "Traceback" not in said.err


def test_a_metrics_line_cut_by_a_kill_is_forgotten(my_life: Path) -> None:
    before = lines_of(RUN)
    with (RUN / "metrics.jsonl").open("a") as file:
        file.write('{"step": 25, "lo')
    done("train", "tiny.yaml", "--force")
    assert lines_of(RUN) == before


def test_a_folder_that_cannot_be_written(recipe: Path) -> None:
    Path("runs").write_text("a file where the folder of runs should be")
    said = luban("run", recipe)
    assert said.code == 2
    assert "cannot write here" in said.err
    assert "runs=FOLDER" in said.err
    assert "Traceback" not in said.err


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(recipe: Path) -> None:
    Path("runs").mkdir(mode=0o500)
    said = luban("run", recipe)
    assert said.code == 2
    assert "cannot write here (Permission denied)" in said.err


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("stage", ["prepare", "train", "evaluate", "card"])
def test_a_disk_that_fills_up(
    stage: str, recipe: Path, monkeypatch: pytest.MonkeyPatch, whole_life: Path
) -> None:
    order = ["prepare", "train", "evaluate", "card"]
    if stage != "prepare":
        done(order[order.index(stage) - 1], recipe)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        patch.setenv("LUBAN_CACHE", str(recipe.parent / "cache"))
        said = luban(stage, recipe, "runs=runs")
    assert said.code == 2
    assert "the disk is full" in said.err
    assert "free some space, then run the same command again" in said.err
    done("run", recipe)
    assert lines_of(RUN) == lines_of(whole_life / RUN)
    assert not [path for path in RUN.rglob(".*") if path.name != ".lock"]


def test_a_second_process_is_refused(recipe: Path) -> None:
    process = start("train", recipe, "train.max_steps=5000")
    begins_after(process, RUN / "metrics.jsonl", 2)
    said = luban("train", recipe, "train.max_steps=5000")
    kill(process, signal.SIGKILL)
    assert said.code == 2
    assert "another process works on this run" in said.err


def test_early_stopping_keeps_the_best(recipe: Path) -> None:
    rate = "train.optimizer.learning_rate=0.3"  # large enough to get worse
    options = [rate, "train.max_steps=400", "train.eval_steps=4", "model.dropout=0.0"]
    said = done("train", recipe, *options, "train.early_stopping_patience=3")
    rows = {row["step"]: row["validation/loss"] for row in lines_of(RUN) if "loss" not in row}
    best = min(rows, key=lambda step: rows[step])
    last = max(rows)
    assert last < 400
    assert last == best + 3 * 4
    assert said.err.count(f"validation got no better; stopped at step {last}") == 1
    kept = json.loads((RUN / "training.json").read_text())
    assert kept["best"]["step"] == best
    assert kept["kept"] == "best validation"
    report = json.loads((RUN / "reports" / "train.json").read_text())["claims"]
    assert report["steps"]["value"] == last
    assert report["best validation loss"]["value"] == rows[best]
    before = weights(RUN)
    done("train", recipe, *options, "train.early_stopping_patience=3", "--force")
    assert weights(RUN) == before, "stopped is stopped, also when asked again"


def test_the_last_step_can_be_kept_instead(recipe: Path) -> None:
    rate = "train.optimizer.learning_rate=0.3"
    done("train", recipe, rate, "train.load_best_model_at_end=false")
    final = load_file(RUN / "checkpoint-24" / "model.safetensors")
    kept = load_file(RUN / "model" / "model.safetensors")
    assert all(torch.equal(kept[name], final[name]) for name in final)


def test_averaged_weights_are_measured_and_kept(recipe: Path) -> None:
    done("train", recipe, "train.ema_decay=0.95", "train.load_best_model_at_end=false")
    average = load_file(RUN / "checkpoint-24" / "ema.safetensors")
    final = load_file(RUN / "checkpoint-24" / "model.safetensors")
    kept = load_file(RUN / "model" / "model.safetensors")
    assert all(torch.equal(kept[name], average[name]) for name in average)
    assert any(not torch.equal(final[name], average[name]) for name in average)
    done("evaluate", RUN, "evaluate.baselines=false")
    claims = json.loads((RUN / "reports" / "evaluate.json").read_text())["claims"]
    last = [row for row in lines_of(RUN) if "loss" not in row][-1]
    assert last["validation/loss"] == pytest.approx(claims["test/loss"]["value"], rel=0.2)


def test_micro_batches_give_the_same_curve(recipe: Path) -> None:
    for parts in (1, 3, 8):
        accumulated = f"train.gradient_accumulation_steps={parts}"
        done("train", recipe, f"name=cut-{parts}", "model.dropout=0.0", accumulated)
    whole, *cut = (losses_of(Path(f"runs/cut-{parts}")) for parts in (1, 3, 8))
    assert whole[-1] < whole[0] - 0.3
    for curve in cut:
        assert curve == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize(
    ("bound", "steps"),
    [("max_tokens=700", 6), ("num_train_epochs=0.5", None), ("max_minutes=0.0001", None)],
)
def test_other_bounds(bound: str, steps: int | None, recipe: Path) -> None:
    done("train", recipe, f"train.{bound}", "train.max_steps=20")
    taken = len(losses_of(RUN))
    assert taken == steps if steps else 1 <= taken <= 20
    assert (RUN / "last_checkpoint").read_text() == f"checkpoint-{taken}\n"


def test_divergence_stops_and_advises(recipe: Path) -> None:
    said = luban("train", recipe, "train.optimizer={name: sgd, learning_rate: 1e30}")
    assert said.code == 2
    assert "was no finite number at step" in said.err
    assert "lower learning_rate" in said.err
    assert "Traceback" not in said.err


def test_trackers_get_what_is_logged(recipe: Path) -> None:
    done("train", recipe, "train.trackers=[tensorboard]", "train.max_steps=3")
    assert list((RUN / "tensorboard").glob("events.*"))


def test_runs_without_held_out_data(recipe: Path) -> None:
    done("train", recipe, "data.split={validation: 0.0, test: 0.0}", "train.max_steps=3")
    assert json.loads((RUN / "training.json").read_text())["best"] is None
    said = luban("evaluate", RUN)
    assert said.code == 2
    assert "nothing to evaluate on" in said.err
