"""Tiny lives of many families: the state before each verb, and what it must come to."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from luban.core.contracts import MEASUREMENTS
from tests.hostile.forked import Ended, Forks
from tests.life import lines_of
from tests.tasks.test_lives import write_recipe

#: The verbs of a life in their order, then all of them as one.
VERBS = ("prepare", "train", "evaluate", "export", "card", "run")
FAMILIES = (
    "text-generation",
    "text-classification",
    "translation",
    "image-classification",
    "object-detection",
    "speech-recognition",
)
RUN = Path("runs/tiny")
#: Of reports: what the clock decides, or what rests on it.
_CLOCK = ("training time", "speed", "utilisation", "energy", "log (sha256)", "sha256 of README.md")
#: A note of when something was compared, and what of the measurements a clock decides.
_OWN_CLOCK, _TIMED = "checked.json", "work"
_CLOCKED = ("real-time-factor", "seconds")


@dataclass(slots=True)
class Life:
    """A family's recipe, data, and the state of its folder before each verb.

    Attributes:
        folder: Where all of it lies.
        forks: What runs commands.
        seconds: How long each verb takes undisturbed.
        bytes: How much room on the disk each verb takes.
        wanted: What each verb comes to undisturbed.
        full: How many times the disk was full.
    """

    folder: Path
    forks: Forks
    seconds: dict[str, float] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    wanted: dict[str, dict[str, Any]] = field(default_factory=dict)
    full: int = 0

    @classmethod
    def lived(
        cls,
        family: str,
        folder: Path,
        samples: Path,
        forks: Forks,
        verbs: tuple[str, ...] = VERBS,
    ) -> Life:
        """Write a recipe, go through all verbs undisturbed, and keep every state before one."""
        life, now = cls(folder, forks), folder / "now"
        now.mkdir(parents=True)
        write_recipe(now, family, samples)
        recipe = yaml.safe_load((now / "tiny.yaml").read_text(encoding="utf-8"))
        format_ = "huggingface" if family == "text-generation" else "torch-export"
        recipe["export"] = {"formats": [format_]}
        (now / "tiny.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True), "utf-8")
        shutil.copytree(now, folder / "before-run")
        for verb in verbs:
            if verb == "run":
                now = life.begin(verb)
            else:
                shutil.copytree(now, folder / f"before-{verb}")
            before = _room(now)
            ended = life.do(verb, now)
            assert ended.code == 0, ended.said
            life.seconds[verb] = ended.seconds
            life.bytes[verb] = max(_room(now) - before, 1 << 16)
            life.wanted[verb] = outcome(now)
        return life

    def begin(self, verb: str) -> Path:
        """Return a folder in the state before a verb."""
        here = self.folder / "here"
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(self.folder / f"before-{verb}", here)
        return here

    def do(self, verb: str, here: Path, kill_after: float | None = None) -> Ended:
        """Perform a verb in a folder that holds its own store and temporary files."""
        (here / "tmp").mkdir(exist_ok=True)
        places = {"LUBAN_CACHE": str(here / "cache"), "TMPDIR": str(here / "tmp")}
        return self.forks.luban(
            verb, "tiny.yaml", cwd=here, kill_after=kill_after, variables=places
        )

    def differences(self, verb: str, here: Path) -> list[str]:
        """Return what is not as the verb would have left it undisturbed."""
        found, wanted = outcome(here), self.wanted[verb]
        names = sorted(found.keys() | wanted.keys())
        lines = [name for name in names if found.get(name) != wanted.get(name)]
        lines += [f"left behind: {name}" for name in leftovers(here)]
        places = {"LUBAN_CACHE": str(here / "cache"), "TMPDIR": str(here / "tmp")}
        checked = self.forks.luban("verify", RUN, "--files", cwd=here, variables=places)
        return lines + ([] if checked.code == 0 else [checked.said])


def outcome(here: Path) -> dict[str, Any]:
    """Return digests of all that must be the same, the losses and the claims."""
    found: dict[str, Any] = dict(_digests(here))
    found["metrics"] = lines_of(here / RUN) if (here / RUN / "metrics.jsonl").is_file() else []
    for path in sorted((here / RUN / "reports").glob("[!.]*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        for name, claim in report["claims"].items():
            if name not in _CLOCK and not name.endswith(_CLOCKED):
                found[f"{path.stem}: {name}"] = claim
    return found


def _room(folder: Path) -> int:
    """Return how many bytes of a disk a folder takes."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def _digests(here: Path) -> Iterator[tuple[str, str]]:
    for folder in (RUN / "task", RUN / "model", RUN / "export", Path("cache/stores")):
        for path in sorted((here / folder).rglob("*")):
            if not path.is_file() or path.name == _OWN_CLOCK:
                continue
            content = path.read_bytes()
            if path.name == MEASUREMENTS:
                content = json.dumps(json.loads(content) | {_TIMED: None}).encode()
            yield path.relative_to(here).as_posix(), hashlib.sha256(content).hexdigest()


def leftovers(here: Path) -> list[str]:
    """Return what stopped commands left behind: in the run, the store and the temporary files."""
    hidden = [path for path in here.rglob(".*") if path.name != ".lock"]
    temporary = [path for path in (here / "tmp").iterdir() if not path.name.startswith("torchind")]
    return sorted({str(path.relative_to(here)) for path in (*hidden, *temporary)})
