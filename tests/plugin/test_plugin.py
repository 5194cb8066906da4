"""A new task, model and metric, one file each, join without a line in Luban itself."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.life import ROOT, environment

PACKAGE = Path(__file__).parent / "package"

RECIPE = """\
name: sorted
data:
  source: {name: jsonl, path: rows.jsonl}
  split: {by: record, validation: 0.15, test: 0.2}
task: text-sorting
model: {name: letter-bag, hidden_size: 6}
train:
  max_steps: 40
  batch_size: 16
  optimizer: {name: adamw, learning_rate: 0.1}
  precision: fp32
  compile: "off"
  eval_steps: 20
evaluate: {bootstrap_rounds: 100}
"""


def run(
    folder: Path, *arguments: str, code: int = 0, package: Path = PACKAGE
) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(PYTHONPATH=f"{package}:{ROOT}"),
    )
    assert ran.returncode == code, ran.stderr
    return ran


def luban(folder: Path, *arguments: str, package: Path = PACKAGE) -> Any:
    return json.loads(run(folder, "-m", "luban", *arguments, "--json", package=package).stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe for the plug-in, and a thousand lines to sort."""
    path = tmp_path_factory.mktemp("plugin")
    (path / "recipe.yaml").write_text(RECIPE)
    generator = random.Random(0)
    rows = []
    for number in range(300):
        label = generator.choice(["vowels", "consonants"])
        letters = {"vowels": "aeiou" * 3, "consonants": "bcdfg" * 3}[label] + "xyz"
        text = "".join(generator.choices(letters, k=generator.randint(3, 9)))
        rows.append({"text": text, "label": label, "id": number})
    (path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(scope="module")
def reports(folder: Path) -> Any:
    return luban(folder, "run", "recipe.yaml")


def test_list_shows_them(folder: Path) -> None:
    found = luban(folder, "list")
    assert "text_sorting:TextSorting" in found["tasks"]["text-sorting"]
    assert "letter-bag" in found["models"]
    assert "share-right" in found["metrics"]
    assert "text-generation" in found["tasks"], "what is built in stays"


def test_the_schema_of_recipes_knows_them(folder: Path) -> None:
    schema = run(folder, "-m", "luban", "list", "--json-schema").stdout
    assert '"letter-bag"' in schema
    assert '"text-sorting"' in schema


def test_a_recipe_that_uses_them_validates(folder: Path) -> None:
    facts = luban(folder, "validate", "recipe.yaml")
    assert facts["vocabulary or classes"].startswith("2 ")


def test_its_task_is_recognised_in_data(folder: Path) -> None:
    found = luban(folder, "init", "rows.jsonl", "--output", "first.yaml")
    assert found["task"] == "text-sorting"
    assert found["why"] == "texts of letters with a label"
    assert "text-classification" in found["others"], "tasks that are built in are asked too"
    assert luban(folder, "validate", "first.yaml")["vocabulary or classes"].startswith("2 ")


def test_a_misspelt_field_of_theirs_is_named(folder: Path) -> None:
    command = ["-m", "luban", "validate", "recipe.yaml", "model.hidden_siz=3"]
    ran = run(folder, *command, code=2)
    assert "did you mean 'hidden_size'?" in ran.stderr


def test_it_trains_and_the_metric_stands_in_report_and_card(folder: Path, reports: Any) -> None:
    claims = reports["evaluate"]["claims"]
    right, commonest = claims["test/share-right"], claims["test/commonest/share-right"]
    assert right["low"] <= right["value"] <= right["high"]
    assert right["value"] > commonest["value"] + 0.2
    assert reports["train"]["claims"]["best validation share-right"]["value"] > 0.8
    card = (folder / "runs/sorted/README.md").read_text()
    assert "| share-right |" in card
    assert "A `letter-bag` model for `text-sorting`" in card


def test_it_is_verified_and_kept(folder: Path, reports: Any) -> None:
    assert luban(folder, "verify", "runs/sorted").keys() == reports.keys()
    again = run(folder, "-m", "luban", "run", "recipe.yaml")
    assert again.stderr.count("kept.") == 4


def test_a_changed_metric_is_measured_again(folder: Path, reports: Any, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "life")
    shutil.copytree(PACKAGE, tmp_path / "package")
    metric = tmp_path / "package" / "share_right.py"
    metric.write_text(metric.read_text().replace("rows.mean()", "1 - rows.mean()"))
    again = luban(tmp_path / "life", "run", "recipe.yaml", package=tmp_path / "package")
    right, wrong = (r["evaluate"]["claims"]["test/share-right"]["value"] for r in (reports, again))
    assert wrong == pytest.approx(1 - right)


def test_they_keep_the_laws(folder: Path) -> None:
    code = (
        "import json\n"
        "from luban.core.contracts import Mechanism, Metric, Model, Task\n"
        "from luban.testing import check_metric, check_model, check_task\n"
        "rows = [json.loads(line) for line in open('rows.jsonl')][:6]\n"
        "task, model = Task.from_dict('text-sorting'), Model.from_dict('letter-bag')\n"
        "learned = task.learn(rows)\n"
        "batch = learned.collate(learned.encode_batch(rows))\n"
        "check_metric(Metric.from_dict('share-right'), ['a', 'b'], ['a', 'c'], best=1.0)\n"
        "check_model(model, learned.signature(), batch)\n"
        "check_task(task, model, rows, mechanism=Mechanism.from_dict('plain'))\n"
        "print('lawful')"
    )
    assert run(folder, "-c", code).stdout.strip() == "lawful"


def test_a_task_that_continues_no_prompts_says_so(folder: Path, reports: Any) -> None:
    ran = run(folder, "-m", "luban", "generate", "runs/sorted", code=2)
    assert "a run of text-sorting continues no prompts" in ran.stderr
