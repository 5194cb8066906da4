"""Bytes that are no text, holes in logs, and folders with odd names: said once, or passed over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.life import done, luban, trained_again

RUN = Path("runs/tiny")
VERBS = ("run", "train", "evaluate", "export", "card", "verify", "generate")


def _texts() -> list[Path]:
    kinds = {".json", ".jsonl", ".yaml", ".txt", ".md", ""}
    found = [path for path in sorted(RUN.rglob("*")) if path.is_file() and path.suffix in kinds]
    return [path for path in found if path.name != ".lock"]


def test_a_byte_that_is_no_text_gives_no_traceback(my_life: Path) -> None:
    files = _texts()
    assert len(files) > 12
    for number, path in enumerate(files):
        before = path.read_bytes()
        path.write_bytes(b"\xff" + before if number % 3 else before + b"\xff\n")
        for verb in ("verify", VERBS[number % len(VERBS)]):
            said = luban(verb, RUN, *(("--files",) if verb == "verify" else ()))
            assert said.code in (0, 2), f"{path}, {verb}: {said.err}"
            assert "Traceback" not in said.err, f"{path}, {verb}: {said.err}"
        if path.is_file():
            path.write_bytes(before)


@pytest.mark.parametrize("harm", ["hole", "byte", "number"])
def test_a_log_with_a_hole_is_not_gone_on_with(harm: str, my_life: Path) -> None:
    log = RUN / "metrics.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    if harm == "hole":
        del lines[3]
    elif harm == "byte":
        lines[3] = b"\xff" + lines[3]
    else:
        lines[3] = json.dumps({**json.loads(lines[3]), "loss": 1.0}).encode() + b"\n"
    log.write_bytes(b"".join(lines))
    (RUN / "training.json").unlink()  # as if it had been killed before its end
    said = luban("train", RUN)
    assert said.code == 2
    assert "the log of training was changed or cut" in said.err
    assert log.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("name", ["checkpoint-²", "checkpoint-x", "checkpoint-", "checkpoint--1"])
def test_a_folder_that_is_no_checkpoint_is_passed_over(name: str, my_life: Path) -> None:
    (RUN / name).mkdir()
    (RUN / "training.json").unlink()
    assert "goes on from checkpoint-24" in done("train", RUN).err
    done("evaluate", RUN)
    (RUN / name / "file").write_text("")
    said = luban("verify", RUN, "--files")
    assert said.code == 2
    assert f"{name}/file" in said.err


def test_the_peak_is_measured_once_for_a_machine(
    my_life: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luban.stages.training.costs.peak_flops", lambda *_: 1.0)
    before = trained_again(RUN, "tiny.yaml")
    peaks = [
        json.loads((run / "training.json").read_text())["peak_flop_per_second"]
        for run in (before, RUN)
    ]
    assert peaks[0] > 1e6
    assert peaks[1] == pytest.approx(peaks[0], rel=1e-9)


def test_the_peak_of_two_machines_is_their_mean_by_time(
    my_life: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luban.stages.training.costs.peak_flops", lambda *_: 1.0)
    monkeypatch.setattr("luban.stages.training.costs.machine_name", lambda *_: "another")
    before = trained_again(RUN, "tiny.yaml")
    old, new = (json.loads((run / "training.json").read_text()) for run in (before, RUN))
    state = json.loads((RUN / "checkpoint-16" / "trainer_state.json").read_text())
    possible = state["memo"]["possible_flop"] + (new["seconds"] - state["seconds"]) * 1.0
    assert new["peak_flop_per_second"] == pytest.approx(possible / new["seconds"])
    assert 1.0 < new["peak_flop_per_second"] < old["peak_flop_per_second"]
