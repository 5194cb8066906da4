"""From a text file to a card: once, again, and after something changed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from luban.core.report import Report
from tests.life import done, luban, write_life

RUN = Path("runs/tiny")
_LISTED = """
README.md last_checkpoint log.txt manifest.json metrics.jsonl prepared.json recipe.yaml
training.json checkpoint-24/model.safetensors checkpoint-24/optimizer.safetensors
checkpoint-24/trainer_state.json checkpoint-24/digests.json figures/loss.png
model/config.json model/generation_config.json model/model.safetensors model/tokenizer.json
reports/card.json reports/evaluate.json reports/prepare.json reports/train.json
task/tokenizer.json
"""
FILES = _LISTED.split()


def state_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a run with its time stamp and content, but for what every command writes."""
    always = [folder / name for name in ("log.txt", "recipe.yaml", "digests.json")]
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path not in always
    }


@pytest.mark.parametrize("name", FILES)
def test_a_run_has_every_file(name: str, whole_life: Path) -> None:
    assert (whole_life / RUN / name).is_file()


def test_nothing_is_left_aside(whole_life: Path) -> None:
    hidden = [p.name for p in (whole_life / RUN).rglob(".*")]
    assert hidden == [".lock"]


def test_the_weights_were_trained(whole_life: Path) -> None:
    rows = [json.loads(x) for x in (whole_life / RUN / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    held_out = [row["validation/loss"] for row in rows if "validation/loss" in row]
    assert len(losses) == 24
    assert losses[-1] < losses[0] - 0.3
    assert held_out == sorted(held_out, reverse=True)
    with safe_open(whole_life / RUN / "model" / "model.safetensors", "np") as file:
        assert "model.embed_tokens.weight" in file.keys()  # noqa: SIM118 - not a mapping


def test_reports_and_card_say_the_same(whole_life: Path) -> None:
    card = (whole_life / RUN / "README.md").read_text()
    for path in (whole_life / RUN / "reports").glob("*.json"):
        report = Report.from_dict(json.loads(path.read_text()))
        assert report.command == f"luban verify runs/tiny --stage {report.stage}"
        assert {"data", "files", "task", "model", "seed", "code"} <= report.inputs.keys()
        if report.stage == "card":
            continue
        for name, claim in report.claims.items():
            leaf = name.rpartition("/")[2]
            assert f"| {leaf} |" in card or f"| {name} |" in card
            assert str(claim).removesuffix(claim.unit).strip() in card
    for title in ("Intended use", "Data", "Training", "Quality", "Limits", "How to reproduce"):
        assert f"\n## {title}\n" in card
    assert "A model for tests." in card
    assert "(figures/loss.png)" in card


def test_quality_stands_beside_baselines_with_intervals(whole_life: Path) -> None:
    report = json.loads((whole_life / RUN / "reports" / "evaluate.json").read_text())
    claims = report["claims"]
    for name in ("test/loss", "test/unigram/bits-per-byte", "test/kneser-ney-5/perplexity"):
        assert claims[name]["low"] <= claims[name]["value"] <= claims[name]["high"]
        assert claims[name]["n"] > 10
    assert {"samples/distinct-2", "unseen/memorisation"} <= claims.keys()
    assert claims["test/loss"]["value"] < claims["test/unigram/loss"]["value"] + 1.0


def test_the_second_call_keeps_everything(my_life: Path) -> None:
    before = state_of(RUN)
    said = done("run", "tiny.yaml")
    kept = re.findall(r"^(\w+): nothing has changed; kept\.$", said.err, re.MULTILINE)
    assert sorted(kept) == ["card", "evaluate", "prepare", "train"]
    assert state_of(RUN) == before


def test_the_run_itself_names_its_recipe(my_life: Path) -> None:
    for target in (RUN, RUN / "recipe.yaml"):
        assert done("run", target).err.count("kept.") == 4


def test_a_run_can_be_moved(my_life: Path) -> None:
    (my_life / "elsewhere").mkdir()
    RUN.rename("elsewhere/tiny")
    assert done("verify", "elsewhere/tiny", "--stage", "card").code == 0
    assert done("run", "elsewhere/tiny").err.count("kept.") == 4


def test_only_what_changed_is_done_again(my_life: Path) -> None:
    said = done("run", "tiny.yaml", "evaluate.num_samples=1")
    assert re.findall(r"^(\w+): begins", said.err, re.MULTILINE) == ["evaluate", "card"]
    assert done("verify", RUN).code == 0


def test_a_stage_of_a_run_with_an_override_still_verifies(my_life: Path) -> None:
    done("evaluate", RUN, "evaluate.num_samples=1", "evaluate.baselines=false")
    claims = json.loads((RUN / "reports" / "evaluate.json").read_text())["claims"]
    assert not any("unigram" in name for name in claims)
    assert done("verify", RUN).code == 0


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("train.max_steps=25", "train.max_steps: 24 -> 25"),
        ("train.optimizer.learning_rate=0.5", "train.optimizer.learning_rate: 0.02 -> 0.5"),
        ("train.optimizer=sgd", "train.optimizer.name: 'adamw' -> 'sgd'"),
        ("model.hidden_size=32", "model.hidden_size: 16 -> 32"),
        ("task.context=8", "task.context: 16 -> 8"),
        ("data.split.test=0.2", "data.split.test: 0.15 -> 0.2"),
        ("seed=2", "seed: 1 -> 2"),
    ],
)
def test_another_recipe_is_refused_naming_what_changed(
    override: str, changed: str, my_life: Path
) -> None:
    before = state_of(RUN)
    for target in ("tiny.yaml", RUN):
        said = luban("run", target, override)
        assert said.code == 2
        assert changed in said.err
        assert "another name=NAME" in said.err
    assert state_of(RUN) == before
    assert "25" not in (RUN / "recipe.yaml").read_text()
    assert done("run", "tiny.yaml").err.count("kept.") == 4


@pytest.mark.parametrize("override", ["train.logging_steps=5", "train.save_total_limit=3"])
def test_what_changes_nothing_is_not_refused(override: str, my_life: Path) -> None:
    weights = (RUN / "model" / "model.safetensors").read_bytes()
    assert done("run", "tiny.yaml", override)
    assert (RUN / "model" / "model.safetensors").read_bytes() == weights


def test_other_data_are_refused_and_leave_the_run_alone(my_life: Path) -> None:
    text = (my_life / "text.txt").read_text()
    before = state_of(RUN)
    (my_life / "text.txt").write_text(text.replace("cat", "dog"))
    said = luban("run", "tiny.yaml")
    assert said.code == 2
    assert "begun with other data" in said.err
    assert "train" in said.err
    for verb in ("verify", "evaluate"):
        refused = luban(verb, RUN)
        assert refused.code == 2
        assert "data" in refused.err
        assert "Traceback" not in refused.err
    assert state_of(RUN) == before
    (my_life / "text.txt").write_text(text)
    assert done("verify", RUN).code == 0


def test_other_data_before_training_are_fine(tmp_path: Path, monkeypatch: Any) -> None:
    write_life(tmp_path)
    monkeypatch.chdir(tmp_path)
    done("prepare", "tiny.yaml")
    (tmp_path / "text.txt").write_text((tmp_path / "text.txt").read_text().replace("cat", "cow"))
    said = done("prepare", "tiny.yaml")
    assert "prepare: begins" in said.err


def test_a_lost_cache_is_made_again(my_life: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUBAN_CACHE", str(my_life / "empty"))
    assert done("verify", RUN).code == 0


def test_lost_weights_come_back_from_the_checkpoint(my_life: Path) -> None:
    weights = RUN / "model" / "model.safetensors"
    before = weights.read_bytes()
    weights.unlink()
    said = luban("generate", RUN, "--max-tokens", "3")
    assert said.code == 2
    assert f"luban train {RUN} --force" in said.err
    done("train", RUN, "--force")
    assert weights.read_bytes() == before


def test_export_is_a_stage_like_any_other(my_life: Path) -> None:
    done("export", RUN)
    assert (RUN / "export" / "huggingface" / "config.json").is_file()
    assert "Deployment" in (RUN / "README.md").read_text()
    assert done("verify", RUN).code == 0
