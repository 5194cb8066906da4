"""No command is silent: whatever takes long, something is shown at least every few seconds.

Time is scaled: signs of life come after a quarter of a second instead of four, and each component
in turn takes a second or two instead of minutes.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from luban.cli import terminal
from luban.cli.main import main
from luban.core import registry
from luban.data.sources.text import Text
from luban.data.tokenizers.char import Char
from luban.engine.checkpoint import Checkpoints
from luban.exporters.huggingface import Huggingface
from luban.init.recognisers import text_generation
from luban.metrics.bits_per_byte import BitsPerByte
from luban.metrics.distinct import Distinct
from luban.models.gpt import GPT
from luban.tasks.text_generation import TextGeneration
from tests.life import done, write_life

EVERY, SLOW = 0.25, 2.5

#: What is slow, and the label under which its user reads it.
PARTS: list[tuple[type, str, str]] = [
    (Text, "read", "prepare"),
    (TextGeneration, "learn", "learn from the training records"),
    (Char, "encode_batch", "encode"),
    (TextGeneration, "target_summary", "encode"),
    (GPT, "build", "train"),
    (TextGeneration, "collate", "train"),
    (TextGeneration, "validate_batch", "validate"),
    (TextGeneration, "calibrate", "train"),
    (Checkpoints, "save", "train"),
    (TextGeneration, "target", "validate"),
    (BitsPerByte, "compute", "interval of bits-per-byte"),
    (TextGeneration, "baselines", "evaluate"),
    (TextGeneration, "samples", "draw samples"),
    (TextGeneration, "references", "compare with unseen examples"),
    (Distinct, "statistics", "measure samples"),
]
#: Commands after a run, with what is slow in them.
COMMANDS: dict[str, tuple[list[str], type | ModuleType, str]] = {
    "init": (["text.txt", "--output", "new.yaml"], text_generation, "recognise"),
    "validate": (["tiny.yaml"], TextGeneration, "learn"),
    "export": (["runs/tiny"], Huggingface, "write"),
    "verify": (["runs/tiny"], TextGeneration, "predict"),
    "generate": (["runs/tiny", "-n", "2", "--max-tokens", "3"], GPT, "build"),
    "predict": (["runs/tiny"], GPT, "build"),  # refused, after it was loaded
    "prepare": (["tiny.yaml", "--force"], TextGeneration, "learn"),
    "train": (["tiny.yaml", "--force"], GPT, "build"),
    "evaluate": (["tiny.yaml", "--force"], TextGeneration, "predict"),
    "card": (["tiny.yaml", "--force"], GPT, "digest"),
    "run": (["tiny.yaml", "--force"], TextGeneration, "samples"),
}
#: Commands that wait for someone, or only list what is there.
OTHERS = {"chat", "serve", "doctor", "list", "runs"}


class Watched(io.StringIO):
    """A stream that knows when something was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.times = [time.monotonic()]
        self.said = ["(start)"]

    def write(self, text: str) -> int:
        self.times.append(time.monotonic())
        self.said.append(text)
        return super().write(text)


def watched(*arguments: str) -> tuple[float, str]:
    """Run a command; return the longest silence in seconds, and all it said."""
    stream = Watched()
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        main(arguments)
    stream.times.append(time.monotonic())
    gaps = [after - before for before, after in zip(stream.times, stream.times[1:], strict=False)]
    longest = max(range(len(gaps)), key=gaps.__getitem__)
    before = "".join(stream.said[max(0, longest - 6) : longest + 1])
    return gaps[longest], f"{stream.getvalue()}\nthe longest silence came after: {before}"


def slow(monkeypatch: pytest.MonkeyPatch, owner: type | ModuleType, name: str) -> list[int]:
    """Let a method or function take long the first time; return a list of its calls."""
    real, calls = getattr(owner, name), list[int]()
    bound = isinstance(owner.__dict__.get(name), classmethod)

    def late(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            time.sleep(SLOW)
        return real(*given, **named)

    method: Callable[..., Any] = late
    if bound:
        method = classmethod(lambda _, *given: late(*given))  # type: ignore[assignment]
    monkeypatch.setattr(owner, name, method)
    return calls


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "EVERY", EVERY)


def test_a_run_is_never_silent(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_life(here, {"train.max_steps": 8})
    # Loading libraries is not what is measured. The split differs, so that nothing is remembered.
    done("run", "tiny.yaml", "name=before", "data.split.test=0.2")
    calls = [slow(monkeypatch, owner, name) for owner, name, _ in PARTS]
    gap, said = watched("run", "tiny.yaml", "data.split.validation=0.17")
    assert all(calls), "each was asked for"
    assert gap < 0.8 * SLOW, said
    lines = [line for line in said.splitlines() if line.endswith(" s)")]
    for owner, name, label in PARTS:
        assert any(label in line for line in lines), f"{owner.__name__}.{name}: {said}"


@pytest.mark.parametrize("verb", COMMANDS)
def test_no_command_is_silent(verb: str, my_life: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, owner, name = COMMANDS[verb]
    calls = slow(monkeypatch, owner, name)
    gap, said = watched(verb, *arguments)
    assert calls
    assert "Traceback" not in said
    assert gap < 0.8 * SLOW, said


def test_every_command_is_looked_at() -> None:
    assert {*registry.names("verbs"), *registry.names("stages")} == COMMANDS.keys() | OTHERS


def test_what_is_quick_shows_no_progress(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "EVERY", 60.0)
    write_life(here)
    assert not [line for line in done("run", "tiny.yaml").err.splitlines() if line.endswith(" s)")]
