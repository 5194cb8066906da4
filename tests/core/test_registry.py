"""The file system is the registry; installed packages join by entry point."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luban.core import registry
from luban.core.contracts import Metric, Model, Schedule
from luban.core.errors import ContractError, RegistryError

GOOD = '''"""A metric from elsewhere."""
from luban.core.contracts import Metric

class Zero(Metric):
    """Always zero."""
    def statistics(self, prediction, target):
        return (0.0,)
    def compute(self, rows):
        return 0.0
'''


def load(kind: str, name: str, base: Any) -> Any:
    return registry.load(kind, name, base)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path; write entry points, then ``registry.forget_plugins()``."""
    info = tmp_path / "zero-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zero\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("")
    (tmp_path / "zero_metric.py").write_text(GOOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield info / "entry_points.txt"
    sys.modules.pop("zero_metric", None)
    monkeypatch.undo()
    registry.forget_plugins()


def test_names_are_the_files_of_a_folder() -> None:
    folder = Path(registry.__file__).parents[1] / "engine" / "schedules"
    files = [p.stem.replace("_", "-") for p in folder.glob("*.py") if not p.stem.startswith("_")]
    assert registry.names("schedules") == sorted(files)


def test_a_summary_is_the_first_line_of_the_file() -> None:
    for name in registry.names("schedules"):
        doc = sys.modules[type(Schedule.from_dict(name)).__module__].__doc__ or ""
        assert registry.summary("schedules", name) == doc.splitlines()[0]
    assert registry.summary("schedules", "none") == ""


def test_listing_imports_nothing() -> None:
    for name in [m for m in sys.modules if m.startswith("luban.trackers.")]:
        del sys.modules[name]
    assert "wandb" in registry.names("trackers")
    assert registry.summary("trackers", "wandb")
    assert "luban.trackers.wandb" not in sys.modules


@pytest.mark.parametrize(
    ("word", "near"), [("gtp", "gpt"), ("GPT", ""), ("rrn", "rnn"), ("xyzzy", "")]
)
def test_an_unknown_name_gets_the_nearest(word: str, near: str) -> None:
    with pytest.raises(RegistryError) as error:
        load("models", word, Model)
    assert f"there is no model named {word!r}" in error.value.what
    assert error.value.expected == ", ".join(registry.names("models"))
    assert error.value.fix == (
        f"did you mean {near!r}?" if near else f"add luban/models/{word}.py or a plugin."
    )


def test_an_unknown_kind_gets_the_nearest() -> None:
    error = registry.unknown_kind("metric", ["models", "metrics"])
    assert error.fix == "did you mean 'metrics'?"


def test_name_and_class_lead_to_each_other() -> None:
    found = load("schedules", "warmup-stable-decay", Schedule)
    assert registry.name_of(found, "schedules") == "warmup-stable-decay"


def test_a_plugin_joins(plugin: Path) -> None:
    plugin.write_text("[luban.metrics]\nalways-zero = zero_metric:Zero\n")
    registry.forget_plugins()
    assert "always-zero" in registry.names("metrics")
    assert "zero_metric:Zero" in registry.summary("metrics", "always-zero")
    metric = Metric.from_dict("always-zero")
    assert metric.name == "always-zero"
    assert Metric.from_dict(metric.to_dict()) == metric
    assert len(metric.code_digest()) == 16


@pytest.mark.parametrize("target", ["zero_metric:Metric.__doc__", "os:path"])
def test_a_plugin_of_another_kind_is_named(plugin: Path, target: str) -> None:
    plugin.write_text(f"[luban.metrics]\nwrong = {target}\n")
    registry.forget_plugins()
    with pytest.raises(ContractError, match=r"a plugin for luban\.metrics must be a Metric") as e:
        load("metrics", "wrong", Metric)
    assert e.value.exit_code == 1


@pytest.mark.parametrize("target", ["no_such_module:Zero", "zero_metric:Gone"])
def test_a_plugin_that_cannot_be_imported_is_named(plugin: Path, target: str) -> None:
    plugin.write_text(f"[luban.metrics]\nbroken = {target}\n")
    registry.forget_plugins()
    with pytest.raises(ContractError, match=r"the plugin 'broken' for luban\.metrics") as error:
        load("metrics", "broken", Metric)
    assert target in str(error.value)


def test_a_plugin_cannot_take_the_name_of_a_built_in(plugin: Path) -> None:
    plugin.write_text("[luban.metrics]\nloss = zero_metric:Zero\n")
    registry.forget_plugins()
    with pytest.raises(ContractError, match="'loss' is the name of a built-in"):
        load("metrics", "loss", Metric)


def test_a_file_defines_one_component(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "module", lambda kind, name: registry)
    with pytest.raises(ContractError, match="must define one Metric"):
        load("metrics", "loss", Metric)
