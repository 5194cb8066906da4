"""Checkpoints are whole, exact, and fail without losing anything."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from luban.core import registry
from luban.core.contracts import Optimizer
from luban.core.errors import CapacityError, CheckpointError, LubanError, RunError
from luban.engine import checkpoint
from luban.engine.checkpoint import Checkpoints
from luban.engine.fit import State, Step
from luban.engine.run_state import Decision, RunState
from tests.engine import toy

ROOT = Path(__file__).parents[2]


def run(folder: Path, state: State, until: int, total: int = 12) -> list[Step]:
    """Train to a step and save there."""
    steps = []
    for step in toy.train(state, toy.plan_of(total, ema_decay=0.9)):
        steps.append(step)
        if step.index == until:
            break
    Checkpoints(folder).save(state)
    return steps


def same(a: State, b: State) -> bool:
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", registry.names("optimizers"))
def test_resumed_training_equals_uninterrupted_training(name: str, tmp_path: Path) -> None:
    whole = toy.state_of(name, dropout=0.3)
    curve = [(s.loss, s.grad_norm, s.lr, s.tokens) for s in run(tmp_path / "whole", whole, 12)]
    first = toy.state_of(name, dropout=0.3)
    parts = run(tmp_path / "cut", first, 5)
    second = toy.state_of(name, dropout=0.3)
    torch.manual_seed(99)
    assert Checkpoints(tmp_path / "cut").load(second) is not None
    parts += run(tmp_path / "cut", second, 12)
    assert [(s.loss, s.grad_norm, s.lr, s.tokens) for s in parts] == curve
    assert same(whole, second)
    assert whole.ema is not None
    assert second.ema is not None
    assert all(torch.equal(whole.ema[key], second.ema[key]) for key in whole.ema)


@pytest.mark.parametrize("name", registry.names("optimizers"))
def test_moments_lie_in_memory_as_their_weights_do(name: str, tmp_path: Path) -> None:
    def state_of() -> State:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(4, 6, 3), torch.nn.Conv2d(6, 5, 3))
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return State(model, toy.optimizer_of(name, model))

    def train(state: State, *steps: int) -> None:
        for step in steps:
            state.optimizer.zero_grad()
            x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(step))
            state.model(x).square().sum().backward()
            state.optimizer.step()

    whole, resumed = state_of(), state_of()
    train(whole, 1, 2)
    Checkpoints(tmp_path).save(whole)
    assert Checkpoints(tmp_path).load(resumed) is not None
    train(whole, 3, 4)
    train(resumed, 3, 4)
    assert same(whole, resumed)


def test_everything_that_is_not_a_tensor_comes_back(tmp_path: Path) -> None:
    state = toy.state_of()
    state.run_state = known = RunState(compile=Decision(False, "off"), waited=2)
    run(tmp_path, state, 4)
    other = toy.state_of()
    loaded = Checkpoints(tmp_path).load(other)
    assert loaded is not None
    assert loaded.path.name == "checkpoint-4"
    assert loaded.warnings == ()
    assert (other.step, other.tokens, other.run_state) == (4, state.tokens, known)
    assert other.seconds == state.seconds
    assert other.guard == state.guard
    assert (tmp_path / "last_checkpoint").read_text() == "checkpoint-4\n"


def test_nothing_to_load_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "missing").load(toy.state_of()) is None


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path: Path) -> None:
    state = toy.state_of()
    run(tmp_path, state, 2)
    stored = load_file(tmp_path / "checkpoint-2" / "model.safetensors")
    assert "embed.weight" in stored
    assert "lm_head.weight" not in stored
    other = toy.state_of()
    Checkpoints(tmp_path).load(other)
    assert other.model.get_parameter("lm_head.weight") is other.model.get_parameter("embed.weight")
    assert same(state, other)


def test_no_pickle_is_written(tmp_path: Path) -> None:
    run(tmp_path, toy.state_of("muon"), 2)
    names = {path.name for path in (tmp_path / "checkpoint-2").iterdir()}
    assert names == {
        "model.safetensors",
        "optimizer.safetensors",
        "ema.safetensors",
        "trainer_state.json",
        "digests.json",
    }


def saved_twice(folder: Path) -> State:
    """A run with checkpoints at 3 and 6; the returned state is at 6."""
    state = toy.state_of()
    run(folder, state, 3)
    run(folder, state, 6)
    return state


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


FILES = ["model.safetensors", "optimizer.safetensors", "trainer_state.json", "digests.json"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("harm", ["truncate", "flip", "remove"])
def test_damage_falls_back_to_the_one_before_and_says_so(
    file: str, harm: str, tmp_path: Path
) -> None:
    saved_twice(tmp_path)
    path = tmp_path / "checkpoint-6" / file
    if harm == "truncate":
        path.write_bytes(path.read_bytes()[:-9])
    elif harm == "flip":
        flip(path)
    else:
        path.unlink()
    state = toy.state_of()
    loaded = Checkpoints(tmp_path).load(state)
    assert loaded is not None
    assert loaded.path.name == "checkpoint-3"
    assert state.step == 3
    assert len(loaded.warnings) == 1
    assert "checkpoint-6 is damaged" in loaded.warnings[0]
    run(tmp_path, state, 6)  # the damaged one is replaced
    assert Checkpoints(tmp_path).load(toy.state_of()) == checkpoint.Loaded(
        tmp_path / "checkpoint-6"
    )


def test_damage_in_every_checkpoint_is_an_error_not_a_fresh_start(tmp_path: Path) -> None:
    saved_twice(tmp_path)
    for path in tmp_path.glob("checkpoint-*/model.safetensors"):
        flip(path)
    with pytest.raises(CheckpointError, match=r"no checkpoint can be read.*checkpoint-6.*digest"):
        Checkpoints(tmp_path).load(toy.state_of())


def test_a_folder_left_half_written_is_ignored_and_swept(tmp_path: Path) -> None:
    state = saved_twice(tmp_path)
    (tmp_path / ".checkpoint-9.7.tmp").mkdir()
    (tmp_path / ".checkpoint-9.7.tmp" / "model.safetensors").write_bytes(b"half")
    loaded = Checkpoints(tmp_path).load(toy.state_of())
    assert loaded is not None
    assert loaded.path.name == "checkpoint-6"
    run(tmp_path, state, 9)
    assert not (tmp_path / ".checkpoint-9.7.tmp").exists()


def test_limit_keeps_the_newest_and_those_asked_for(tmp_path: Path) -> None:
    state = toy.state_of()
    kept = Checkpoints(tmp_path, save_total_limit=2)
    for step in toy.train(state, toy.plan_of(6)):
        kept.save(state, keep=[2])
        assert step.index in [int(path.name[11:]) for path in kept.paths()]
    assert [path.name for path in kept.paths()] == ["checkpoint-2", "checkpoint-5", "checkpoint-6"]


def test_a_limit_below_two_still_leaves_a_fall_back(tmp_path: Path) -> None:
    state = toy.state_of()
    for _ in toy.train(state, toy.plan_of(3)):
        Checkpoints(tmp_path, save_total_limit=1).save(state)
    assert len(Checkpoints(tmp_path).paths()) == 2


def test_another_recipe_is_refused_naming_what_changed(tmp_path: Path) -> None:
    state = toy.state_of()
    Checkpoints(tmp_path, {"train.batch_size": 12, "data": "ab", "seed": 1}).save(state)
    changed = Checkpoints(tmp_path, {"train.batch_size": 24, "seed": 1, "model.width": 8})
    with pytest.raises(CheckpointError) as error:
        changed.load(state)
    message = str(error.value)
    for line in ("train.batch_size: 12 -> 24", "data: 'ab' -> None", "model.width: None -> 8"):
        assert line in message
    assert "seed" not in message


def test_another_model_is_refused_naming_the_first_difference(tmp_path: Path) -> None:
    run(tmp_path, toy.state_of(), 1)
    state = toy.state_of()
    state.model.register_parameter("extra", torch.nn.Parameter(torch.ones(2)))
    with pytest.raises(CheckpointError, match=r"extra: the model has \(2,\), the checkpoint None"):
        Checkpoints(tmp_path).load(state)


def test_other_trained_parameters_are_refused(tmp_path: Path) -> None:
    run(tmp_path, toy.state_of(), 1)
    state = toy.state_of()
    some = [(n, p) for n, p in state.model.named_parameters() if "norm" not in n]
    state.optimizer = Optimizer.from_dict("adamw").build(some)
    with pytest.raises(CheckpointError, match="norm"):
        Checkpoints(tmp_path).load(state)


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_disk_in_rust(*_: Any, **__: Any) -> None:
    raise SafetensorError(
        'I/O error: Os { code: 28, kind: StorageFull, message: "No space left on device" }'
    )


@pytest.mark.parametrize(
    ("place", "failure"),
    [
        ("os.fsync", full_disk),
        ("luban.engine.checkpoint.save_file", full_disk_in_rust),
        ("luban.engine.checkpoint.write_json", full_disk),
        ("pathlib.Path.replace", full_disk),
    ],
)
def test_a_full_disk_loses_nothing(
    place: str, failure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = saved_twice(tmp_path)
    list(zip(toy.train(state, toy.plan_of(12)), range(1), strict=False))
    with monkeypatch.context() as patch:
        patch.setattr(place, failure)
        with pytest.raises(CapacityError, match="disk is full"):
            Checkpoints(tmp_path).save(state)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint-3",
        "checkpoint-6",
        "last_checkpoint",
    ]
    assert Checkpoints(tmp_path).load(toy.state_of()) == checkpoint.Loaded(
        tmp_path / "checkpoint-6"
    )


def test_a_really_full_disk(tmp_path: Path) -> None:
    """A file size limit makes the operating system itself refuse the write."""
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from luban.engine.checkpoint import Checkpoints\n"
        "from tests.engine import toy\n"
        "state = toy.state_of()\n"
        "Checkpoints(Path(sys.argv[1])).save(state)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "state.step = 5\n"
        "Checkpoints(Path(sys.argv[1])).save(state)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert "RunError" in done.stderr or "CapacityError" in done.stderr
    assert [path.name for path in Checkpoints(tmp_path).paths()] == ["checkpoint-0"]
    assert Checkpoints(tmp_path).load(toy.state_of()) is not None


def test_an_unwritable_folder_is_a_run_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="cannot write here"):
        Checkpoints(tmp_path / "file" / "run").save(toy.state_of())


def test_errors_of_saving_are_lubans_own() -> None:
    assert issubclass(CapacityError, LubanError)
    assert issubclass(RunError, LubanError)


def curve(folder: Path) -> Iterator[str]:
    """The last thing logged for each step: a killed run may have logged some twice."""
    rows = [json.loads(line) for line in (folder / "curve-0.jsonl").read_text().splitlines()]
    last = {row["step"]: json.dumps(row) for row in rows}
    return iter(last[step] for step in sorted(last))


@pytest.mark.parametrize(("optimizer", "wait"), [("adamw", 8), ("muon", 31)])
def test_kill_minus_nine_and_go_on_is_bit_identical(
    optimizer: str, wait: int, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    toy.main(whole, optimizer, 60)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.toy", str(cut), optimizer, "60"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    log = cut / "curve-0.jsonl"
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") < wait):
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -9, "killed while training"
    toy.main(cut, optimizer, 60)
    assert list(curve(cut)) == list(curve(whole))
    for name in ("model", "optimizer", "ema"):
        ours, theirs = (f / "checkpoint-60" / f"{name}.safetensors" for f in (whole, cut))
        assert ours.read_bytes() == theirs.read_bytes()
