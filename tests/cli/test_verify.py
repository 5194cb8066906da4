"""``luban verify``: an honest run passes, and no tampering does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.life import done, luban, write_life

RUN = Path("runs/tiny")


def test_an_honest_run_passes(my_life: Path) -> None:
    said = done("verify", RUN, "--json")
    assert said.json.keys() == {"card", "evaluate", "prepare", "train"}
    assert said.json["evaluate"] > 10
    assert said.err.count("recomputed: holds") == 4


def test_one_stage_alone(my_life: Path) -> None:
    assert done("verify", RUN, "--stage", "train", "--json").json.keys() == {"train"}
    said = luban("verify", RUN, "--stage", "export")
    assert said.code == 2
    assert "there is no report of export" in said.err


def edited(name: str, change: Callable[[Any], object]) -> Callable[[], None]:
    def edit() -> None:
        data = json.loads((RUN / name).read_text())
        change(data)
        (RUN / name).write_text(json.dumps(data))

    return edit


def claim(stage: str, name: str, **fields: Any) -> Callable[[], None]:
    return edited(f"reports/{stage}.json", lambda data: data["claims"][name].update(fields))


def replaced(name: str, old: str, new: str) -> Callable[[], None]:
    def replace() -> None:
        text = (RUN / name).read_text()
        assert old in text
        (RUN / name).write_text(text.replace(old, new, 1))

    return replace


def all_of(*changes: Callable[[], None]) -> Callable[[], None]:
    def make() -> None:
        for change in changes:
            change()

    return make


def slightly_better(report: Any) -> None:
    report["claims"]["test/loss"]["value"] -= 0.01


def looser(report: Any) -> None:
    report["tolerance"] = 1e9
    report["claims"]["test/loss"]["value"] = 0.1


def nudge_weights() -> None:
    path = RUN / "model" / "model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values()))[0, 0] += 1e-4
    save_file(tensors, path, metadata={"format": "pt"})


def middle_of_the_curve() -> None:
    path = RUN / "metrics.jsonl"
    lines = path.read_text().splitlines()
    row = json.loads(lines[5])
    assert "loss" in row
    lines[5] = json.dumps({**row, "loss": row["loss"] - 0.1})
    path.write_text("\n".join(lines) + "\n")


def no_curve() -> None:
    (RUN / "metrics.jsonl").write_text("")


TAMPERED: dict[str, tuple[Callable[[], None], str]] = {
    "a metric": (claim("evaluate", "test/loss", value=1.0), "evaluate: test/loss: reported 1"),
    "a metric, slightly": (
        edited("reports/evaluate.json", slightly_better),
        "evaluate: test/loss",
    ),
    "an interval": (claim("evaluate", "test/loss", low=0.5), "evaluate: test/loss"),
    "a sample size": (claim("evaluate", "test/loss", n=10**6), "evaluate: test/loss"),
    "a unit": (claim("evaluate", "test/bits-per-byte", unit="bits/word"), "test/bits-per-byte"),
    "a baseline": (claim("evaluate", "test/unigram/loss", value=9.0), "test/unigram/loss"),
    "a claim taken out": (
        edited("reports/evaluate.json", lambda d: d["claims"].pop("samples/repetition")),
        "samples/repetition: reported None",
    ),
    "a claim put in": (
        edited("reports/evaluate.json", lambda d: d["claims"].update(better={"value": 1})),
        "better: reported 1, recomputed None",
    ),
    "a tolerance": (
        edited("reports/evaluate.json", looser),
        "evaluate: test/loss: reported 0.1",
    ),
    "a count of the data": (claim("prepare", "train/examples", value=9), "train/examples"),
    "the cost": (claim("train", "energy", value=0.0), "train: energy"),
    "the cost, in both places": (
        all_of(claim("train", "tokens", value=1), claim("train", "compute", value=1.0)),
        "train: tokens: reported 1",
    ),
    "the card": (replaced("README.md", "every", "no"), "card: matches the reports"),
    "the card, by one number": (replaced("README.md", "24", "25"), "matches the reports"),
    "weights": (nudge_weights, "train: weights (sha256)"),
    "the curve's middle": (middle_of_the_curve, "train: log (sha256)"),
    "the recipe": (
        replaced("recipe.yaml", "learning_rate: 0.02", "learning_rate: 0.03"),
        "train: made from another train",
    ),
    "the seed": (replaced("recipe.yaml", "seed: 1", "seed: 2"), "made from another seed"),
    "the intended use": (replaced("recipe.yaml", "for tests", "for all"), "matches the reports"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_is_found(what: str, my_life: Path) -> None:
    tamper, line = TAMPERED[what]
    tamper()
    said = luban("verify", RUN)
    assert said.code == 2
    assert "the reports do not hold" in said.err
    assert line in said.err
    assert "DOES NOT HOLD" in said.err
    assert "Traceback" not in said.err


def edit_data() -> None:
    Path("text.txt").write_text(Path("text.txt").read_text() + "one more line\n")


def other_weights() -> None:
    path = RUN / "model" / "model.safetensors"
    save_file({"x": next(iter(load_file(path).values()))}, path)


def half_the_weights() -> None:
    path = RUN / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:2000])


def no_weights() -> None:
    (RUN / "model" / "model.safetensors").unlink()


def no_reports() -> None:
    for path in RUN.glob("reports/*"):
        path.unlink()


REFUSED: dict[str, tuple[Callable[[], None], str]] = {
    "the data": (edit_data, "changed since they were prepared"),
    "no curve": (no_curve, "metrics.jsonl: the log of training holds no loss"),
    "other weights": (other_weights, "the weights do not fit the model"),
    "half the weights": (half_the_weights, "the file of weights is damaged"),
    "no weights": (no_weights, "there is no trained model"),
    "no reports": (no_reports, "there are no reports"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_recomputed_fails_too(what: str, my_life: Path) -> None:
    tamper, line = REFUSED[what]
    tamper()
    said = luban("verify", RUN)
    assert said.code == 2
    assert line in said.err
    assert "Traceback" not in said.err
    alone = luban("verify", RUN, "--stage", "train")
    assert alone.code == 2
    assert "Traceback" not in alone.err


def test_errors_as_json(my_life: Path) -> None:
    claim("evaluate", "test/loss", value=1.0)()
    said = luban("verify", RUN, "--json")
    assert said.code == 2
    assert said.json["error"]["type"] == "VerifyError"
    assert "test/loss" in said.json["error"]["what"]


def test_resume_is_proved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done("prepare", write_life(tmp_path))
    for name in ("luban", "yaml", "torch", "random", "sitecustomize"):  # a stranger's folder
        Path(f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    said = done("verify", RUN, "--resume", "--steps", "40", "--kills", "1", "--json")
    assert said.json["identical"] is True
    assert said.json["steps"] == 40
    assert "bit-identical" in said.err
    assert "killed at step" in said.err
    assert not (RUN / "metrics.jsonl").exists(), "nothing is written into the run"
    assert not (tmp_path / "executed").exists(), "nothing is imported from the working directory"


def test_a_false_resume_is_found(my_life: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof compares: a resumed training that differs fails it."""
    curves = iter([[(1, 2.0), (2, 1.5)], [(1, 2.0), (2, 1.6)]])
    monkeypatch.setattr("luban.stages._resume_proof._start", lambda *_: None)
    monkeypatch.setattr("luban.stages._resume_proof._finish", lambda *_: None)
    monkeypatch.setattr("luban.stages._resume_proof._kill_at", lambda *_: 1)
    monkeypatch.setattr("luban.stages._resume_proof._curve", lambda *_: next(curves))
    monkeypatch.setattr("luban.stages._resume_proof.sha256_of", lambda *_: "same")
    said = luban("verify", RUN, "--resume")
    assert said.code == 2
    assert "the resumed training differs" in said.err
    assert "1.5" in said.err
