"""Every file of a run, its exports and its stores, and every claim, changed a little: all named."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from luban.core.report import Claim
from tests.hostile.lives import FAMILIES
from tests.life import done, luban, write_life
from tests.tasks.test_lives import write_recipe

RUN = Path("runs/tiny")
#: Not named when changed: a lock without content, and a note of what was compared before, which
#: ``verify`` does not trust.
_FREE = (".lock", "checked.json")
_SAMPLE = 40  #: forgeries of ``make test``


@dataclass(frozen=True, slots=True)
class Forgery:
    """A change of one file.

    Attributes:
        name: What is done, for whoever reads a failure.
        path: The file.
        change: Changes it.
        named: What ``verify`` must say.
    """

    name: str
    path: Path
    change: Callable[[Path], object]
    named: str


def _flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at // 8] ^= 1 << at % 8
    path.write_bytes(raw)


def _write(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


def of_files(root: Path, moments: random.Random) -> Iterator[Forgery]:
    """Yield, for every file below a folder: a bit changed, emptied, deleted, one added beside."""
    for path in sorted(root.rglob("*")):
        if not path.is_file() or path.name in _FREE:
            continue
        name = path.relative_to(root).as_posix()
        if size := path.stat().st_size:
            bit = moments.randrange(8 * size)
            yield Forgery(f"bit {bit}", path, partial(_flip, at=bit), name)
            yield Forgery("emptied", path, _write(""), name)
        yield Forgery("deleted", path, Path.unlink, name)
        for beside in (f"{path.name}.bak", f".{path.name}"):
            added = path.with_name(beside)
            yield Forgery("added", added, _write("{}"), added.relative_to(root).as_posix())


def of_claims(run: Path) -> Iterator[Forgery]:
    """Yield, for every figure of every claim, a report with it changed by its last shown digit."""
    for path in sorted((run / "reports").glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        for name, fields in data["claims"].items():
            for key, value in _nudged(fields):
                claims = {**data["claims"], name: {**fields, key: value}}
                text = json.dumps({**data, "claims": claims}, indent=2, ensure_ascii=False)
                what = f"{name}: {key} {fields[key]} -> {value}"
                yield Forgery(what, path, _write(text + "\n"), f"reports/{path.name}")


def _nudged(fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    claim = Claim(**fields)
    for key in ("value", "low", "high", "n"):
        value = fields.get(key)
        if isinstance(value, bool):
            yield key, not value
        elif isinstance(value, int):
            yield key, value + 1
        elif isinstance(value, float):
            shown = str(Claim(value, claim.unit))
            decimals = re.search(r"\.(\d+)", shown)
            yield key, value + 10.0 ** -(len(decimals[1]) if decimals else 0)
        elif isinstance(value, str) and value:
            yield key, value[:-1] + ("0" if value[-1] != "0" else "1")


def of_numbers(card: Path) -> Iterator[Forgery]:
    """Yield the card with each of its numbers changed in the last digit."""
    text = card.read_text(encoding="utf-8")
    for found in re.finditer(r"\d+(?=[^\w.]|\.\D|$)", text):
        at = found.end() - 1
        other = str((int(text[at]) + 1) % 10)
        changed = text[:at] + other + text[at + 1 :]
        yield Forgery(f"{found[0]} at {at}", card, _write(changed), "README.md")


def stores_of(run: Path) -> list[Path]:
    """Return the folders of the run's encoded splits."""
    splits = json.loads((run / "prepared.json").read_text(encoding="utf-8"))["splits"]
    return [Path(os.environ["LUBAN_CACHE"]) / "stores" / split["key"] for split in splits.values()]


def every_forgery(run: Path, seed: str) -> list[Forgery]:
    """Return all forgeries of a run, its exports and its stores."""
    moments = random.Random(seed)
    found = [*of_files(run, moments), *of_claims(run), *of_numbers(run / "README.md")]
    for store in stores_of(run):
        found += of_files(store, moments)
    return found


def missed(forgery: Forgery) -> str:
    """Commit a forgery, ask ``verify``, undo it; return what was not right."""
    path = forgery.path
    before = path.read_bytes() if path.is_file() else None
    forgery.change(path)
    said = luban("verify", RUN, "--files")
    path.unlink(missing_ok=True)
    if before is not None:
        path.write_bytes(before)
    caught = said.code == 2 and forgery.named in said.err and "Traceback" not in said.err
    return "" if caught else f"{path}: {forgery.name}: {said.err}"


@pytest.fixture
def exported(whole_life: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A life of its own, with an export and a store that no other test reads."""
    monkeypatch.setenv("LUBAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_life(tmp_path)
    done("run", "tiny.yaml", "export.formats=[huggingface]")
    return tmp_path


def test_sampled_forgeries_are_named(exported: Path) -> None:
    every = every_forgery(RUN, "0")
    assert len(every) > 400
    assert any("export/huggingface" in str(forgery.path) for forgery in every)
    assert any("cache/stores" in str(forgery.path) for forgery in every)
    chosen = random.Random(0).sample(every, _SAMPLE)
    assert [line for line in map(missed, chosen) if line] == []
    done("verify", RUN)


def test_a_damaged_store_is_refused_and_made_again(exported: Path) -> None:
    """What trains and evaluates never reads it; who verifies says it."""
    store = stores_of(RUN)[0]
    file = next(path for path in sorted(store.glob("*.npy")) if path.stat().st_size > 200)
    before = file.read_bytes()
    _flip(file, 8 * 150)
    said = luban("verify", RUN, "--stage", "prepare")
    assert said.code == 2
    assert file.name in said.err
    done("prepare", RUN, "--force")
    assert file.read_bytes() == before
    done("verify", RUN)


def test_damaged_settings_are_named_and_the_rest_is_recomputed(exported: Path) -> None:
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json"):
        path = RUN / "model" / name
        before = path.read_bytes()
        path.write_bytes(before[:-1] + b"\x0b}")
        said = luban("verify", RUN)
        path.write_bytes(before)
        assert said.code == 2, name
        assert f"model/{name}" in said.err
        assert "Traceback" not in said.err
        assert "card: 2 claims recomputed: holds" in said.err


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_forgery_is_named(
    family: str, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUBAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path, family, samples)
    recipe = yaml.safe_load(Path("tiny.yaml").read_text(encoding="utf-8"))
    formats = ["onnx", "torch-export", *(["huggingface"] if family == "text-generation" else [])]
    recipe["export"] = {"formats": formats}
    Path("tiny.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True), "utf-8")
    done("run", "tiny.yaml")
    every = every_forgery(RUN, family)
    print(f"{family}: {len(every)} forgeries")
    assert [line for line in map(missed, every) if line] == []
    shutil.rmtree(tmp_path / "cache")
    done("verify", RUN, "--files")
