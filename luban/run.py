"""The directory that holds everything about one model.

runs/<name>/
recipe.yaml          resolved: all defaults filled in
manifest.json        digests of data, recipe, code and environment
metrics.jsonl        one line per logged step
log.txt
digests.json         digests of all these files, as they were written
task/                what the task learned (labels, vocabulary)
checkpoint-<step>/   weights, optimizer, position; ``last_checkpoint`` names the newest
model/               Hugging Face layout
reports/<stage>.json the evidence
figures/
README.md            the model card
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from luban.core.console import Console, Silent
from luban.core.contracts import Task
from luban.core.differences import differences
from luban.core.digests import Digests, refuse_links
from luban.core.errors import CapacityError, RunError, disk_error
from luban.core.files import sweep, sweep_temporary, write_atomic, write_json
from luban.core.report import Report
from luban.core.yaml_json import json_of
from luban.recipe import Recipe

#: Folders of a run in which files are written one by one.
_SWEPT = ("export", "figures", "reports")


class Run:
    """A run directory and the recipe it was made from.

    Args:
        path: The directory.
        recipe: The resolved recipe.
        console: Where to show progress.
        main: False where nothing is written or logged: on all ranks of a distributed job but the
            first, and where a run is verified.
    """

    def __init__(
        self, path: Path, recipe: Recipe, console: Console | None = None, *, main: bool = True
    ) -> None:
        self.path, self.recipe, self.main = path, recipe, main
        self.console: Console = console or Silent()

    @classmethod
    def create(cls, recipe: Recipe, console: Console | None = None, *, main: bool = True) -> Self:
        """Return the run of a recipe; nothing is written before ``keep_recipe``."""
        path = Path(recipe.runs) / recipe.name
        recipe = recipe.replace(model=recipe.model.resolve()).as_planned(path)
        return cls(path, recipe, console, main=main)

    def keep_recipe(self) -> None:
        """Write ``recipe.yaml``, unless training has begun with a different one; hold the lock.

        Raises:
            RunError: naming what changed.
        """
        if (self.path / "recipe.yaml").exists() and any(self.path.glob("checkpoint-*")):
            _refuse_change(Recipe.read(self.path / "recipe.yaml"), self.recipe, self.path)
        self.write_text("recipe.yaml", self.recipe.to_yaml())
        if self.main and (digests := self.digests()):
            digests.record("recipe.yaml")
            digests.write()

    @classmethod
    def open(cls, path: Path, console: Console | None = None, *, main: bool = True) -> Self:
        """Open an existing run directory; one that is not ``main`` is only read.

        Raises:
            RunError: if the directory holds no run.
        """
        if not (path / "recipe.yaml").is_file():
            known = sorted(str(p.parent) for p in path.absolute().parent.glob("*/recipe.yaml"))
            raise RunError(
                "there is no run here.",
                where=path,
                expected="a directory with recipe.yaml",
                fix=f"runs beside it: {', '.join(known)}" if known else "luban run RECIPE",
            )
        return cls(path, Recipe.read(path / "recipe.yaml"), console, main=main)

    # Files

    def write_text(self, name: str, text: str) -> None:
        """Write a text file of the run, atomically."""
        if self.main:
            write_atomic(self.path / name, text)

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write any file of the run, atomically."""
        if self.main:
            write_atomic(self.path / name, content)

    def write_json(self, name: str, data: Any) -> None:
        """Write a JSON file of the run, atomically."""
        if self.main:
            write_json(self.path / name, data)

    def read_json(self, name: str, *keys: str) -> dict[str, Any]:
        """Read a JSON file of the run: a table with at least these keys.

        Raises:
            RunError: if it is missing or damaged.
        """
        path = self.path / name
        try:
            data = json_of(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError("this file of the run is missing.", where=path) from None
        except ValueError as error:
            raise RunError("this file of the run is damaged.", where=path, got=str(error)) from None
        if not isinstance(data, dict) or not data.keys() >= set(keys):
            raise RunError("this file of the run is damaged.", where=path, expected=", ".join(keys))
        return data

    def metrics(self) -> list[dict[str, Any]]:
        """Return the logged lines of training."""
        return logged(self.path / "metrics.jsonl")

    def has_split(self, split: str) -> bool:
        """Return whether ``prepare`` found examples for a split."""
        return split in self.read_json("prepared.json", "splits")["splits"]

    def say(self, text: str) -> None:
        """Show a line and keep it in ``log.txt``."""
        if not self.main:
            return
        self.console.say(text)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        try:
            with (self.path / "log.txt").open("ab") as file:
                file.write(f"{stamp} {text}\n".encode(errors="backslashreplace"))
        except OSError as error:
            raise disk_error(error, self.path / "log.txt") from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing; a second process is refused.

        Raises:
            RunError: if another process holds the run, its directory cannot be written, or a
                link in it leads out of it.
            CapacityError: if the disk is full.
        """
        if not self.main:
            yield
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            refuse_links(self.path)
            file = (self.path / ".lock").open("a")
        except OSError as error:
            raise disk_error(error, self.path) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    "another process works on this run.",
                    where=self.path,
                    fix="wait for it, or choose another name=NAME.",
                ) from None
            for folder in (self.path, *(self.path / name for name in _SWEPT)):
                for name in sweep(folder):
                    self.say(f"removed {name}, which a stopped command had left behind")
            sweep_temporary()
            try:
                yield
            except BaseException:
                with suppress(CapacityError, RunError):  # of what came first is told
                    self._record_log()
                raise
            self._record_log()

    def _record_log(self) -> None:
        if digests := self.digests():
            digests.record_log()
            digests.write()

    # What stages left behind

    def task(self) -> Task:
        """Return the task with what it learned from the training data.

        Raises:
            RunError: if ``prepare`` has not run.
        """
        if not (self.path / "task").is_dir():
            raise RunError("the data are not prepared.", where=self.path, fix="luban prepare RUN")
        return self.recipe.task.load(self.path / "task")

    def report(self, stage: str) -> Report:
        """Read the report of a stage.

        Raises:
            RunError: if there is none, or it is damaged.
        """
        name = f"reports/{stage}.json"
        if not (self.path / name).is_file():
            raise RunError(
                f"there is no report of {stage}.", where=self.path, fix=f"luban {stage} {self.path}"
            )
        try:
            return Report.from_dict(self.read_json(name))
        except (KeyError, TypeError, AttributeError):
            raise RunError(
                "this is not a report.",
                where=self.path / name,
                fix=f"luban {stage} {self.path} --force measures again.",
            ) from None

    def reports(self) -> dict[str, Report]:
        """Return every report of the run, by stage."""
        found = sorted((self.path / "reports").glob("[!.]*.json"))
        return {path.stem: self.report(path.stem) for path in found}

    def digests(self) -> Digests | None:
        """Return the digests of the files of this run; None for one made before they were kept.

        Raises:
            RunError: if they were kept and cannot be read, or are gone.
        """
        found = Digests.read(self.path)
        if found is None and (self.path / "manifest.json").is_file():
            if self.read_json("manifest.json").get("digests"):
                raise RunError(
                    "the digests of this run's files are gone.",
                    where=self.path / "digests.json",
                    fix="bring the file back from a copy of the run; nothing else vouches for it.",
                )
            return None
        if found is None and not any(self.path.glob("reports/*.json")):
            found = Digests(self.path)  # a run that begins
            if (self.path / "recipe.yaml").is_file():
                found.record("recipe.yaml")
        return found


def logged(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a ``metrics.jsonl``; one that a kill cut short is left out.

    Each is a table with a ``step``; where there is no such file, there are none.
    """
    lines = []
    for text in path.read_bytes().split(b"\n") if path.is_file() else ():
        try:
            line = json_of(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines


def _refuse_change(before: Recipe, now: Recipe, path: Path) -> None:
    def parts(recipe: Recipe) -> dict[str, Any]:
        plain = {n: recipe.to_dict().get(n) for n in ("seed", "data", "task", "model", "plan")}
        return {**plain, "train": recipe.stage("train").result_fields()}

    found = differences(parts(before), parts(now))
    if found:
        raise RunError(
            "training of this run has begun with another recipe.",
            where=path,
            got="; ".join(found),
            fix="undo the change, choose another name=NAME, or delete the run.",
        )
