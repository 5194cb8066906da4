"""Runs end well and are never silent: divergence, progress, time, and what the card says."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from luban.core import registry
from luban.core.batch import Batch, Losses
from luban.core.contracts import Model, Task
from luban.engine.schedules.constant import Constant
from luban.run import Run
from luban.tasks.text_generation import TextGeneration
from tests.contracts.makers import MAKE, make
from tests.contracts.records import RECORDS
from tests.life import done, lines_of, luban, start, write_life


@pytest.fixture
def recipe(here: Path) -> Path:
    """A fresh recipe in a fresh working directory."""
    return write_life(here)


def test_validate_says_how_long_a_run_takes(recipe: Path) -> None:
    short = done("validate", recipe, "--json").json
    assert 0 < short["minutes"] < 2
    assert "24 steps" in short["time, about"]
    long = done("validate", recipe, "train.max_steps=240000", "--json").json
    assert long["minutes"] > 100 * short["minutes"]
    said = done("validate", recipe, "train.max_steps=null", "train.max_tokens=3000")
    assert "23 steps" in said.out or "24 steps" in said.out, "128 tokens a step"
    said = done("validate", recipe, "train.max_minutes=7", "train.max_steps=null")
    assert "train 7 min" in said.out


def test_validate_counts_epochs_in_steps(recipe: Path) -> None:
    options = ("train.max_steps=null", "train.num_train_epochs=3", "task.context=8")
    said = done("validate", recipe, *options, "--json").json
    done("train", recipe, *options)
    steps = done("train", recipe, *options, "--json").json["train"]["claims"]["steps"]["value"]
    told = int(said["time, about"].partition(" steps")[0].rpartition("; ")[2].replace(",", ""))
    assert told == pytest.approx(steps, rel=0.1)


#: Steps before the learning rate becomes absurd.
GOOD = 26


@pytest.fixture
def absurd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the schedule multiply the learning rate by a thousand million after some good steps."""
    monkeypatch.setattr(Constant, "factor", lambda _, step, progress: 1e9 if step > GOOD else 1.0)


#: A training that the fixture above spoils.
SPOILT: dict[str, Any] = {
    "optimizer": {"name": "adamw", "learning_rate": 0.001},
    "schedule": "constant",
    "max_steps": 70,
    "eval_steps": 20,
    "save_steps": 10,
}


#: Fields of a model, and of its task, where it needs larger inputs than the tests' other ones.
SMALL = {"inception": {"width": 0.0625, "auxiliary_weight": 0.0}}
LARGE = {"inception": {"image-classification": {"image_size": 75}}}


class Killed(BaseException):
    """What a kill comes to: nothing catches it."""


def write_family(folder: Path, model: str, samples: Path, train: dict[str, Any]) -> str:
    """Write records and a recipe for a small model, with the first task that it is made for."""
    for task, records in RECORDS.items():
        fields = MAKE.get(f"tasks/{task}", [{}])[0] | LARGE.get(model, {}).get(task, {})
        signature = make(Task, task, fields, samples).learn(records).signature()
        made = MAKE.get(f"models/{model}", [SMALL.get(model, {})])
        found = next(
            (its for its in made if make(Model, model, its, samples).fits(signature)), None
        )
        if found is not None:
            break
    else:
        pytest.fail(f"no task of the tests has a model {model}")
    rows = [{k: v for k, v in r.items() if not k.startswith("_")} for r in records] * 4
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    paths = {split: f"{split}.jsonl" for split in ("train", "validation", "test")}
    for path in paths.values():
        (folder / path).write_text(text, encoding="utf-8")
    common = {"batch_size": 4, "precision": "fp32", "compile": "off", "logging_steps": 1}
    recipe = {
        "name": "tiny",
        "data": {"source": {"name": "jsonl", "path": paths}, "max_overlap": 1.0},
        "task": {"name": task, **fields},
        "model": {"name": model, **found},
        "train": {**common, **train},
        "evaluate": {"num_samples": 2, "bootstrap_rounds": 100},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True), "utf-8")
    return task


def stopped_well(run: Path) -> dict[str, Any]:
    """Check a run that was stopped early, from log to card; return its report of training."""
    report: dict[str, Any] = json.loads((run / "reports/train.json").read_text())
    [warning] = report["details"]["warnings"]
    assert warning.startswith("Training stopped early: ")
    card = (run / "README.md").read_text(encoding="utf-8")
    assert warning in card.partition("\n## ")[0], "the head of the card says it"
    assert warning in card.partition("## Training")[2].partition("\n## ")[0]
    assert "## Quality" in card
    assert "train: stopped early: " in (run / "log.txt").read_text()
    weights = load_file(run / "model/model.safetensors")
    assert all(bool(t.isfinite().all()) for t in weights.values() if t.is_floating_point())
    return report


@pytest.mark.usefixtures("absurd")
@pytest.mark.parametrize("model", registry.names("models"))
def test_a_run_that_diverges_ends_with_a_card(model: str, samples: Path, here: Path) -> None:
    write_family(here, model, samples, SPOILT)
    said = done("run", "tiny.yaml", "--json")
    report = stopped_well(Path("runs/tiny"))
    assert said.json["train"] == report
    assert report["claims"]["stopped early"]["value"] == "diverged"
    assert report["claims"]["steps"]["value"] < SPOILT["max_steps"]
    assert report["claims"]["stopped early"]["note"].endswith("the weights of step 20 were kept")


@pytest.mark.usefixtures("absurd")
def test_a_run_killed_while_it_stops_ends_the_same(samples: Path, here: Path) -> None:
    later = SPOILT | {"eval_steps": 1000, "save_steps": 7}
    write_family(here, "gpt", samples, later)
    done("run", "tiny.yaml", "name=whole")
    for moment in ("goes back to step", "are kept"):
        real = Run.say

        def say(self: Run, text: str, moment: str = moment, real: Any = real) -> None:
            real(self, text)
            if moment in text:
                raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Run, "say", say)
            with pytest.raises(Killed):
                luban("run", "tiny.yaml")
    done("run", "tiny.yaml")
    whole, killed = Path("runs/whole"), Path("runs/tiny")
    assert lines_of(killed) == lines_of(whole)
    read = [(run / "model/model.safetensors").read_bytes() for run in (killed, whole)]
    assert read[0] == read[1]
    assert stopped_well(killed)["claims"]["stopped early"]["note"]
    done("verify", killed)


@pytest.mark.usefixtures("absurd")
@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.9}, {"load_best_model_at_end": False}])
def test_without_a_validation_the_last_good_step_is_kept(
    changes: dict[str, Any], samples: Path, here: Path
) -> None:
    later = {"eval_steps": 1000, "save_steps": 4} | changes
    write_family(here, "bag", samples, SPOILT | later)
    done("run", "tiny.yaml")
    run = Path("runs/tiny")
    note = stopped_well(run)["claims"]["stopped early"]["note"]
    step = int(note.partition("weights of step ")[2].partition(" ")[0])
    assert step > GOOD
    # The very weights that a training gets which ends there.
    write_family(here, "bag", samples, SPOILT | later | {"max_steps": step})
    done("train", "tiny.yaml", "name=whole")
    kept, whole = (load_file(f"runs/{name}/model/model.safetensors") for name in ("tiny", "whole"))
    assert all(torch.equal(tensor, whole[name]) for name, tensor in kept.items())
    done("verify", run)


def test_a_run_that_never_learned_ends_with_advice_that_is_accepted(recipe: Path) -> None:
    broken = {"train.optimizer.name": "sgd", "train.optimizer.learning_rate": 1e30}
    said = luban("run", recipe, *(f"{key}={value}" for key, value in broken.items()))
    assert said.code == 2
    assert "diverged before it had learned anything" in said.err
    advice = said.err.partition("fix: ")[2].partition(";")[0].split()
    assert advice[:3] == ["luban", "run", "RECIPE"]
    changes = dict(word.split("=") for word in advice[3:])
    assert float(changes["train.optimizer.learning_rate"]) < 1e30
    again = luban("run", recipe, "train.optimizer.name=sgd", *advice[3:])
    assert "has begun with another recipe" not in again.err


def test_a_loss_near_nothing_may_double(here: Path) -> None:
    """The guard looks at what has been learned, not only at what came last."""
    recipe = write_life(here, {"train.max_steps": 120, "train.eval_steps": 60})

    def loss(self: TextGeneration, model: Any, batch: Batch) -> Losses:
        losses = real(self, model, batch)
        share = next(shares)
        return Losses(losses.sums * share, losses.counts)

    real = TextGeneration.loss
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextGeneration, "loss", loss)
        shares = iter([1.0] * 5 + [0.001] * 45 + [0.004] * 1000)
        done("run", recipe, "name=near")
        shares = iter([1.0] * 50 + [30.0] * 1000)
        done("run", recipe, "name=far", "train.eval_steps=30")
    assert lines_of(Path("runs/near"))[-2]["step"] == 120
    assert not json.loads(Path("runs/near/reports/train.json").read_text())["details"]["warnings"]
    stopped_well(Path("runs/far"))


@pytest.mark.parametrize("validated", [True, False])
def test_evaluate_takes_a_stopped_run_as_it_is(validated: bool, recipe: Path) -> None:
    options = [f"train.eval_steps={8 if validated else 1000}", "train.save_steps=5"]
    options += ["train.max_steps=60"]
    log = Path("runs/tiny/metrics.jsonl")
    process = start("train", recipe, *options)
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") < 25):
        time.sleep(0.003)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done("evaluate", "runs/tiny")
    report = json.loads(Path("runs/tiny/reports/train.json").read_text())
    assert report["claims"]["stopped early"]["value"] == "interrupted"
    assert report["claims"]["steps"]["value"] < 60
    done("card", "runs/tiny")
    stopped_well(Path("runs/tiny"))
    done("verify", "runs/tiny")
    # And the run may still be gone on with, exactly.
    done("run", recipe, *options)
    done("train", recipe, *options, "name=whole")
    assert lines_of(Path("runs/tiny")) == lines_of(Path("runs/whole"))
    assert not json.loads(Path("runs/tiny/reports/train.json").read_text())["details"]["warnings"]
    done("verify", "runs/tiny")
