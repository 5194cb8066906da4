"""Every file of a run, changed, emptied, deleted or added: verify names it, and run heals it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.life import done, luban

RUN = Path("runs/tiny")


def files() -> list[str]:
    found = [path.relative_to(RUN).as_posix() for path in RUN.rglob("*") if path.is_file()]
    return sorted(name for name in found if name != ".lock")


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def same_times(path: Path) -> None:
    stat = path.stat()
    flip(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


FORGE: dict[str, Callable[[Path], None]] = {
    "a bit flipped": flip,
    "a bit flipped, time stamps kept": same_times,
    "emptied": empty,
    "deleted": Path.unlink,
}


@pytest.fixture
def changed(my_life: Path) -> Iterator[Callable[[str, str], str]]:
    """Change one file of the run, ask ``verify --files``, put the file back."""

    def change(name: str, how: str) -> str:
        before = (RUN / name).read_bytes()
        FORGE[how](RUN / name)
        said = luban("verify", RUN, "--files")
        (RUN / name).write_bytes(before)
        assert said.code == 2, f"{name} {how}: not caught"
        assert "Traceback" not in said.err
        return said.err

    yield change
    assert luban("verify", RUN, "--files").code == 0


@pytest.mark.parametrize("how", FORGE)
def test_every_changed_file_is_named(how: str, changed: Callable[[str, str], str]) -> None:
    assert len(files()) > 25
    for name in files():
        assert name in changed(name, how)


@pytest.mark.parametrize("folder", ["", "model", "figures", "reports", "checkpoint-24", "export/x"])
def test_every_added_file_is_named(folder: str, my_life: Path) -> None:
    added = RUN / folder / "other.json"
    added.parent.mkdir(parents=True, exist_ok=True)
    added.write_text("{}")
    said = luban("verify", RUN, "--files")
    assert said.code == 2
    assert added.relative_to(RUN).as_posix() in said.err


def test_a_link_out_of_the_run_is_named(my_life: Path) -> None:
    (RUN / "model" / "more").symlink_to(my_life)
    assert "model/more" in luban("verify", RUN, "--files").err


def test_reports_removed_together_are_missed(my_life: Path) -> None:
    shutil.rmtree(RUN / "reports")
    said = luban("verify", RUN)
    assert said.code == 2
    for stage in ("card", "evaluate", "prepare", "train"):
        assert f"reports/{stage}.json: missing" in said.err


def test_an_edit_is_still_seen_after_other_commands(my_life: Path) -> None:
    flip(RUN / "figures" / "loss.png")
    (RUN / "log.txt").write_text("all fine\n")
    done("evaluate", RUN, "--force")
    said = luban("verify", RUN)
    assert "figures/loss.png: not as train wrote it" in said.err or "log.txt" in said.err
    assert "log.txt: not as luban wrote it" in said.err


def edit(name: str) -> None:
    data = json.loads((RUN / name).read_text())
    (RUN / name).write_text(json.dumps({**data, "command": "approved by all"}))


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("reports/train.json", "train"),
        ("reports/evaluate.json", "evaluate"),
        ("manifest.json", "prepare"),
        ("training.json", "train"),
    ],
)
def test_no_card_is_made_of_edited_evidence(name: str, stage: str, my_life: Path) -> None:
    edit(name)
    for verb in ("card", "run"):
        said = luban(verb, RUN)
        assert said.code == 2
        assert f"edited since {stage} wrote it" in said.err
        assert Path(name).name in said.err
    done(stage, RUN, "--force")
    done("run", RUN)
    done("verify", RUN)


def _contents() -> dict[str, bytes]:
    """Everything but what a second run may say otherwise: logs, times and digests of these."""
    return {
        name: (RUN / name).read_bytes()
        for name in files()
        if name.partition("/")[0] in ("model", "task", "figures", "prepared.json", "recipe.yaml")
    }


@pytest.mark.parametrize(
    "lost",
    ["model", "task", "figures", "prepared.json", "training.json", "reports", "README.md",
     "manifest.json", "model/config.json", "last_checkpoint"],
)  # fmt: skip
def test_what_is_missing_is_made_again(lost: str, my_life: Path) -> None:
    before, here = _contents(), RUN / lost
    shutil.rmtree(here) if here.is_dir() else here.unlink()
    done("run", RUN)
    assert here.exists()
    assert _contents() == before
    done("verify", RUN)


def test_what_is_cut_is_made_again(my_life: Path) -> None:
    before = _contents()
    for name in ("prepared.json", "model/model.safetensors", "reports/evaluate.json"):
        (RUN / name).write_bytes((RUN / name).read_bytes()[:100])
    done("run", RUN)
    assert _contents() == before
    done("verify", RUN)


@pytest.mark.parametrize("how", ["deleted", "emptied", "a bit flipped"])
def test_a_log_of_training_that_cannot_be_made_again_is_said(how: str, my_life: Path) -> None:
    FORGE[how](RUN / "metrics.jsonl")
    said = luban("run", RUN)
    assert said.code == 2
    assert "metrics.jsonl" in said.err
    assert "cannot be made again" in said.err


def test_what_killed_commands_left_aside_is_removed(my_life: Path) -> None:
    for name in (".model.4.tmp", ".task.4.old", "figures/.loss.png.4.tmp"):
        (RUN / name).mkdir(parents=True)
        (RUN / name / "part").write_text("half")
    shutil.move(RUN / "model", RUN / ".model.5.old")  # between the two renames of a replacement
    done("run", RUN)
    assert [path.name for path in RUN.rglob(".*")] == [".lock"]
    done("verify", RUN)


def test_digests_that_were_removed_are_missed(my_life: Path) -> None:
    (RUN / "digests.json").unlink()
    for verb in ("verify", "run"):
        said = luban(verb, RUN)
        assert said.code == 2
        assert "digests" in said.err


def test_a_run_from_before_digests_still_verifies(my_life: Path) -> None:
    manifest = json.loads((RUN / "manifest.json").read_text())
    del manifest["digests"]
    (RUN / "manifest.json").write_text(json.dumps(manifest))
    (RUN / "digests.json").unlink()
    assert "files: not compared" in done("verify", RUN).err
