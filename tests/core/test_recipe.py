"""A recipe is read strictly: every fault has a file, a line, a path and the nearest right word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from luban.core.errors import RecipeError
from luban.recipe import Recipe, json_schema, load_yaml
from tests.core.schema import faults

ROOT = Path(__file__).parents[2]

GOOD = """\
name: demo
seed: 3
description: a test  # a comment
data:
  source: {name: text, path: a.txt}
  cleaners:
    - unicode
    - {name: length, min_characters: 2}
task:
  name: text-generation
  tokenizer: char
model: gpt
train:
  max_steps: 10
  optimizer:
    name: adamw
    learning_rate: 1e-3
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Any:
    """Read a recipe from text."""

    def read(text: str, *overrides: str) -> Recipe:
        path = tmp_path / "demo.yaml"
        path.write_text(text, encoding="utf-8")
        return Recipe.read(path, overrides)

    return read


def test_reads(recipe: Any) -> None:
    made = recipe(GOOD)
    assert made.name == "demo"
    assert made.model.name == "gpt"
    assert made.stage("train").optimizer.learning_rate == 0.001
    assert made.data.cleaners[1].min_characters == 2
    assert made.stage("evaluate").to_dict()["num_samples"] == 8


def test_the_file_names_the_run(recipe: Any) -> None:
    assert recipe(GOOD.replace("name: demo\n", "", 1)).name == "demo"


FAULTS = {
    "no section 'trian'": (GOOD.replace("train:", "trian:"), ":13", "trian", "train"),
    "no field 'max_step'": (GOOD.replace("max_steps", "max_step"), ":13", "train", "max_steps"),
    "no field 'learning_rat'": (
        GOOD.replace("learning_rate", "learning_rat"),
        ":15",
        "train.optimizer",
        "learning_rate",
    ),
    "no optimizer named 'adamww'": (
        GOOD.replace("adamw", "adamww"),
        ":15",
        "train.optimizer",
        "adamw",
    ),
    "no cleaner named 'unicod'": (
        GOOD.replace("- unicode", "- unicod"),
        ":7",
        "data.cleaners.0",
        "unicode",
    ),
    "no field 'min_character'": (
        GOOD.replace("min_characters", "min_character"),
        ":8",
        "data.cleaners.1",
        "min_characters",
    ),
    "no model named 'gtp'": (GOOD.replace("gpt", "gtp"), ":12", "model", "gpt"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_misspelt_word_has_line_path_and_nearest(what: str, recipe: Any) -> None:
    text, line, path, near = FAULTS[what]
    with pytest.raises(RecipeError) as error:
        recipe(text)
    assert what in error.value.what
    assert error.value.where == f"demo.yaml{line}: {path}"
    assert error.value.fix == f"did you mean {near!r}?"


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        (GOOD.replace("max_steps: 10", "max_steps: ten"), "valid integer", ":14: train.max_steps"),
        (GOOD.replace("max_steps: 10", "max_steps: -1"), "greater than", ":14: train.max_steps"),
        (GOOD.replace("max_steps: 10", "max_steps: 1.5"), "valid integer", "train.max_steps"),
        (GOOD.replace("seed: 3", "seed: no"), "valid integer", ":2: seed"),
        (GOOD.replace("seed: 3", "seed: true"), "valid integer", ":2: seed"),
        (GOOD.replace("name: demo", "name: a/b"), "match pattern", ":1: name"),
        (GOOD.replace("name: demo", "name: ../b"), "match pattern", ":1: name"),
        (GOOD.replace("task:\n", "task:\ntask:\n"), "'task' stands twice", ":10"),
        (GOOD + "    learning_rate: 2.0\n", "'learning_rate' stands twice", ":18"),
        (GOOD.replace("model: gpt\n", ""), "Field required", "demo.yaml: model"),
        (GOOD.replace("model: gpt", "model: [gpt]"), "must be a name, or a table", ":12: model"),
        (GOOD.replace("train:\n", "train: 3\nx:\n"), "a section is a table", ":13: train"),
        (GOOD + "  name: evaluate\n", "no field 'name'", ":18: train.name"),
        ("", "a table of sections", "demo.yaml"),
        ("- a\n- b\n", "a table of sections", "demo.yaml"),
        ("a: [1\n", "not valid YAML", "demo.yaml:2"),
        ("a: \tb: c\n", "not valid YAML", "demo.yaml:1"),
        ("{[1]: 2}\n", "not valid YAML", "demo.yaml:1"),
        ("a: !!python/object:os.system x\n", "not valid YAML", "demo.yaml:1"),
        ("a: &x [*x]\n", "holds itself", "demo.yaml"),
    ],
    ids=lambda case: str(case)[-40:],
)
def test_a_fault_has_a_place(text: str, what: str, where: str, recipe: Any) -> None:
    with pytest.raises(RecipeError) as error:
        recipe(text)
    assert what in error.value.what
    assert where in str(error.value.where)


def test_a_missing_file_gets_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(GOOD)
    with pytest.raises(RecipeError, match="no such recipe") as error:
        Recipe.read(tmp_path / "dmeo.yaml")
    assert error.value.fix == "did you mean 'demo.yaml'?"


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("描述".encode("gb18030"))
    with pytest.raises(RecipeError, match="cannot be read as UTF-8"):
        Recipe.read(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("-2.5e-8", -2.5e-8),
        (".5", 0.5),
        ("3.", 3.0),
        (".inf", float("inf")),
        ("1_000", 1000),
        ("0x10", 16),
        ("-7", -7),
        ("true", True),
        ("null", None),
        ("~", None),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("1e", "1e"),
        ("1.2.3", "1.2.3"),
        ("12:30:45", "12:30:45"),
        ("2020-01-01", "2020-01-01"),
        ("010", "010"),
        ("'1e-3'", "1e-3"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"key: {text}\n")
    data, lines = load_yaml(path)
    assert data == {"key": value}
    assert type(data["key"]) is type(value)
    assert lines == {("key",): 1}


def test_overrides(recipe: Any) -> None:
    made = recipe(
        GOOD,
        "seed=7",
        "train.optimizer.learning_rate=2e-4",
        "model.hidden_size=64",
        "task.tokenizer.unknown=error",
        "evaluate.num_samples=0",
        "data.cleaners=[unicode]",
        "train.num_train_epochs=null",
        "description=no",
        "train.schedule={name: linear, warmup_steps: 2}",
    )
    assert made.seed == 7
    assert made.stage("train").optimizer.learning_rate == 2e-4
    assert made.model.name == "gpt", "the bare name stays"
    assert made.model.hidden_size == 64
    assert made.task.tokenizer.unknown == "error"
    assert made.stage("evaluate").num_samples == 0
    assert len(made.data.cleaners) == 1
    assert made.description == "no"
    assert made.stage("train").schedule.warmup_steps == 2


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("seed", "an override is key=value"),
        ("=3", "an override is key=value"),
        ("train..max_steps=3", "an override is key=value"),
        ("seed.x=3", "goes through a value"),
        ("data.cleaners.0=unicode", "goes through a value"),
        ("trian.max_steps=3", "no section 'trian'"),
        ("train.max_stps=3", "no field 'max_stps'"),
        ("train.max_steps=many", "valid integer"),
        ("seed=[1", "valid integer"),
        ("seed=!!int one", "not valid YAML"),
        (f"seed={'1' * 5000}", "not valid YAML"),
    ],
)
def test_bad_overrides(override: str, what: str, recipe: Any) -> None:
    with pytest.raises(RecipeError) as error:
        recipe(GOOD, override)
    assert what in error.value.what


def test_every_default_is_written_down(recipe: Any) -> None:
    made = recipe(GOOD)
    data = made.to_dict()
    assert data["train"]["batch_size"] == 32
    assert data["train"]["schedule"] == made.stage("train").schedule.to_dict()
    assert "stages" not in data
    assert Recipe.parse(data) == made


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    description=words,
    path=words.filter(bool),
    rate=st.floats(1e-9, 1e3),
    decay=st.floats(0, 1, exclude_max=True),
    seed=st.integers(0, 2**63 - 1),
)
@example(description="1e3", path="no", rate=1e-5, decay=0.0, seed=0)
@example(description="2020-01-01", path="12:30:45", rate=1.0, decay=0.0, seed=0)
@example(description="0x1F", path="~", rate=100.0, decay=0.5, seed=0)
@example(description=" - a: b", path="1_0", rate=1e-9, decay=0.5, seed=0)
@example(description="鲁班 #1", path="010", rate=0.3, decay=0.5, seed=0)
def test_a_resolved_recipe_reads_back_the_same(
    description: str, path: str, rate: float, decay: float, seed: int, tmp_path: Path
) -> None:
    data = {
        "name": "demo",
        "seed": seed,
        "description": description,
        "data": {"source": {"name": "text", "path": path}},
        "task": {"name": "text-generation", "tokenizer": "char"},
        "model": "gpt",
        "train": {"ema_decay": decay, "optimizer": {"name": "sgd", "learning_rate": rate}},
    }
    made = Recipe.parse(data)
    file = tmp_path / "recipe.yaml"
    file.write_text(made.to_yaml(), encoding="utf-8")
    assert Recipe.read(file) == made


SCHEMA = json_schema()


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.name)
def test_the_recipes_here_are_right_by_reader_and_by_schema(path: Path) -> None:
    made = Recipe.read(path)
    assert made.name == path.stem
    assert faults(load_yaml(path)[0], SCHEMA, SCHEMA) == []
    assert faults(made.to_dict(), SCHEMA, SCHEMA) == [], "with every default filled in"


@pytest.mark.parametrize(
    "change",
    [
        ("max_steps: 10", "max_step: 10"),
        ("max_steps: 10", "max_steps: ten"),
        ("max_steps: 10", "max_steps: -1"),
        ("name: adamw", "name: adamv"),
        ("learning_rate", "learning_rat"),
        ("model: gpt", "model: gtp"),
        ("- unicode", "- unicod"),
        ("train:", "trian:"),
        ("model: gpt\n", ""),
    ],
    ids=str,
)
def test_the_schema_finds_what_the_reader_finds(change: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(GOOD)
    assert faults(load_yaml(path)[0], SCHEMA, SCHEMA) == []
    path.write_text(GOOD.replace(*change))
    assert faults(load_yaml(path)[0], SCHEMA, SCHEMA)
    with pytest.raises(RecipeError):
        Recipe.read(path)


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
@pytest.mark.parametrize(
    "place",
    ["train.max_minutes", "train.optimizer.learning_rate", "data.split.test", "plan.minutes"],
)
def test_no_number_is_infinite(place: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(GOOD)
    with pytest.raises(RecipeError):
        Recipe.read(path, [f"{place}={value}"])
