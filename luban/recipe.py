"""One YAML file that says everything: read it strictly, hash it, run it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator

from luban.core import registry
from luban.core.component import Settings, digest_of
from luban.core.contracts import Model, Stage, Task
from luban.core.errors import RecipeError
from luban.core.sizes import MAX_PARTS
from luban.core.yaml_json import Lines, dump_yaml, is_yaml, parse_yaml
from luban.data.dataset import Data

_NAME = 200  #: bytes of the name of a file or folder
_BYTES = 4_000_000  #: of a recipe file; the longest of ours has some thousands


class Chosen(Settings):
    """What a plan came to on the machine where its run began; a run keeps to it."""

    choice: int = Field(ge=0, lt=MAX_PARTS, description="Which of the choices, from 0.")
    max_steps: int = Field(ge=1, le=1_000_000_000_000, description="Steps of training.")
    step_seconds: float = Field(gt=0, description="What one step took when it was measured.")
    of: str = Field(description="Digest of the recipe that was planned.")


class Choice(Settings):
    """Changes to the recipe, and the fewest steps of training that make them worth taking."""

    min_steps: int = Field(default=1, ge=1, le=1_000_000_000_000)
    changes: dict[str, Any] = Field(
        default_factory=dict, description="Values by their dotted path, as on the command line."
    )


class TrainingPlan(Settings):
    """How much to train, and what, in some minutes on the machine where the run begins.

    Some steps of each choice are measured, from the first on, before training begins. The first
    one that takes its ``min_steps`` within the minutes is chosen, or else the last. Training then
    takes as many steps as the minutes allow, and at most ``train.max_steps``. What was chosen is
    written into the run's recipe: from there on the clock decides nothing.
    """

    minutes: float = Field(gt=0, description="Minutes of training, without validation.")
    choices: tuple[Choice, ...] = Field(default=(Choice(),), min_length=1, max_length=MAX_PARTS)
    chosen: Chosen | None = Field(
        default=None, description="Set by the run; nothing is measured where it is there."
    )


class Recipe(Settings):
    """Everything about a model: data, task, architecture, and one section per stage.

    In the file, the section of a stage stands at the top level under the stage's name
    (``train:``, ``evaluate:``, …); here they are gathered in ``stages``.
    """

    name: str = Field(pattern=r"^[\w][\w.-]*$", description="Name of the run's directory.")
    seed: int = Field(default=0, ge=0, description="Seed of everything random.")
    runs: str = Field(default="runs", description="Folder that holds run directories.")
    description: str = Field(default="", description="Intended use, for the model card.")
    data: Data
    task: Task
    model: Model
    plan: TrainingPlan | None = Field(
        default=None, description="Choose steps and sizes by what the machine can do."
    )
    stages: dict[str, Stage] = Field(default_factory=dict)

    @field_validator("name", "runs")
    @classmethod
    def _can_be_a_path(cls, text: str) -> str:
        if "\0" in text or any(len(part.encode()) > _NAME for part in Path(text).parts):
            raise ValueError(f"a name of a file has at most {_NAME} bytes, and no zero byte")
        return text

    @classmethod
    def read(cls, path: Path, overrides: Sequence[str] = ()) -> Self:
        """Read a recipe file and apply ``key=value`` overrides.

        Raises:
            RecipeError: naming file, line, path, what was expected and the nearest name.
        """
        data, lines = load_yaml(path)
        data.setdefault("name", path.stem)
        for text in overrides:
            override(data, text)
        return cls.parse(data, path.name, lines)

    @classmethod
    def parse(cls, data: dict[str, Any], file: str = "", lines: Lines | None = None) -> Self:
        """Build a recipe from the plain data of a recipe file."""
        fields = [name for name in cls.model_fields if name != "stages"]
        known_stages = registry.names("stages")
        stages: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        for key, value in data.items():
            if key in fields:
                rest[key] = value
            elif key in known_stages:
                stages[key] = {"name": key, **(_table(value, key, file, lines) or {})}
            else:
                raise RecipeError(
                    f"there is no section {key!r}.",
                    where=_place(str(key), file, lines or {}),
                    expected=", ".join(fields + known_stages),
                    fix=registry.nearest(str(key), fields + known_stages) or "remove it.",
                )
        try:
            return cls.from_dict({**rest, "stages": stages})
        except RecipeError as error:
            error.where = _place(str(error.where).removeprefix("stages."), file, lines or {})
            raise

    def stage(self, name: str) -> Stage:
        """Return the configuration of a stage: its section, or its defaults."""
        if name in self.stages:
            return self.stages[name]
        return Stage.from_dict({"name": name})

    @property
    def unplanned(self) -> bool:
        """Whether it has a plan, and nothing was chosen yet."""
        return self.plan is not None and self.plan.chosen is None

    def plan_digest(self) -> str:
        """Return a digest of what a plan is about: the plan, and what a step computes."""
        data = self.to_dict()
        return digest_of([data["task"], data["model"], data["plan"], data.get("train")])

    def planned(self, chosen: Chosen) -> Self:
        """Return the recipe with what was chosen: plain values, and the plan that says so.

        Raises:
            RecipeError: if there is no such choice, or its changes do not fit the recipe.
        """
        data = self.changed(chosen.choice).to_dict()
        data.setdefault("train", {})["max_steps"] = chosen.max_steps
        data["plan"]["chosen"] = chosen.to_dict()
        return self.parse(data)

    def as_planned(self, run: Path) -> Self:
        """Return the recipe with what its run has chosen before, if the plan is still the same.

        Once training has begun what was chosen stays: other changes are found by comparison.

        Args:
            run: The run's directory, which may not be there yet.
        """
        if not self.unplanned or not (run / "recipe.yaml").is_file():
            return self
        before = self.read(run / "recipe.yaml").plan
        if self.plan is None or before is None or before.chosen is None:
            return self
        begun = any(run.glob("checkpoint-*")) and before.chosen.choice < len(self.plan.choices)
        return (
            self.planned(before.chosen) if begun or before.chosen.of == self.plan_digest() else self
        )

    def changed(self, choice: int) -> Self:
        """Return the recipe with the changes of one choice of its plan.

        Raises:
            RecipeError: if there is no such choice, or its changes do not fit the recipe.
        """
        choices = self.plan.choices if self.plan else ()
        if choice >= len(choices):
            raise RecipeError("there is no such choice.", where="plan.chosen.choice", got=choice)
        data = self.to_dict()
        for path, value in choices[choice].changes.items():
            if path.partition(".")[0] not in ("model", "task", "train"):
                raise RecipeError(
                    "a plan changes no such thing.",
                    where=f"plan.choices.{choice}.changes",
                    expected="a path below model, task or train",
                    got=path,
                )
            set_value(data, path, value)
        return self.parse(data)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain data of a recipe file, with every default filled in."""
        data = super().to_dict()
        if self.plan is None:
            del data["plan"]
        for name, stage in data.pop("stages").items():
            data[name] = {key: value for key, value in stage.items() if key != "name"}
        return data

    def to_yaml(self) -> str:
        """Return the resolved recipe as YAML."""
        return dump_yaml(self.to_dict())


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a recipe file, with every component's fields."""
    schema = Recipe.model_json_schema()
    del schema["properties"]["stages"]
    definitions = schema.setdefault("$defs", {})
    for name in registry.names("stages"):
        part = type(Stage.from_dict(name)).model_json_schema()
        definitions |= part.pop("$defs", {})
        schema["properties"][name] = part
    schema["required"] = [key for key in schema.get("required", ()) if key != "name"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def load_yaml(path: Path) -> tuple[dict[str, Any], Lines]:
    """Read a YAML file; return its data and the line of every key.

    Raises:
        RecipeError: if the file is missing, not YAML, not a table or repeats a key.
    """
    try:
        if path.stat().st_size > _BYTES or not (path.is_file() or path.is_fifo()):
            raise RecipeError(
                "this is no recipe.",
                where=path,
                expected=f"a file of at most {_BYTES:,} bytes",
                got=f"{path.stat().st_size:,} bytes" if path.is_file() else "no file",
            )
        data, lines = parse_yaml(path.read_text(encoding="utf-8-sig"), path.name, RecipeError)
    except FileNotFoundError:
        near = registry.nearest(path.name, [p.name for p in path.absolute().parent.glob("*.yaml")])
        raise RecipeError(
            "there is no such recipe.",
            where=path,
            fix=near or "luban init DATA writes one for your data.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError("cannot be read as UTF-8 text.", where=path, got=str(error)) from None
    if not isinstance(data, dict):
        raise RecipeError("a recipe is a table of sections.", where=path, got=data)
    return data, lines


def _place(path: str, file: str, lines: Lines) -> str:
    parts = tuple(path.split("."))
    while parts and parts not in lines:
        parts = parts[:-1]
    line = f":{lines[parts]}" if parts else ""
    return ": ".join(text for text in (f"{file}{line}", path) if text)


def _table(value: Any, key: str, file: str, lines: Lines | None) -> dict[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise RecipeError("a section is a table.", where=_place(key, file, lines or {}), got=value)
    if value and "name" in value:
        raise RecipeError(
            "there is no field 'name' here.",
            where=_place(f"{key}.name", file, lines or {}),
            fix="the section's key is its name.",
        )
    return value


def override(data: dict[str, Any], text: str) -> None:
    """Set what ``key=value`` says, in place; keys are dotted paths, values YAML.

    Raises:
        RecipeError: if the text is not of that form.
    """
    path, equals, raw = text.partition("=")
    if not equals or not all(path.split(".")):
        raise RecipeError(
            "an override is key=value.", got=text, expected="for example train.max_steps=100"
        )
    set_value(data, path, parse_yaml(raw, path, RecipeError)[0] if is_yaml(raw) else raw)


def set_value(data: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a dotted path, in place.

    Raises:
        RecipeError: if the path goes through a value that is no table.
    """
    keys = path.split(".")
    table: Any = data
    for key in keys[:-1]:
        inner = table.get(key)
        if isinstance(inner, str):  # a component given by its bare name
            inner = {"name": inner}
        table[key] = {} if inner is None else inner
        table = table[key]
        if not isinstance(table, dict):
            raise RecipeError("the override goes through a value.", where=path, got=table)
    table[keys[-1]] = value
