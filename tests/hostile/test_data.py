"""Damaged and hostile data: one error or records set apart, never a traceback, in bounded time."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from luban.core.contracts import Record, Source, Task
from luban.core.errors import LubanError, UnfitError
from luban.data.media import audio, images
from luban.data.media.media_files import media_in
from luban.recipe import json_schema
from tests.hostile.bounded import Worst, bounded
from tests.hostile.data_files import Case, cases, put
from tests.hostile.mutations import damaged_bytes
from tests.life import RECIPE, changed, luban


def read(case: Case) -> str:
    """Read all records of a case, decode what they hold, and return what was set apart."""
    apart: list[str] = []
    source = Source.from_dict(case.source)
    for split in source.splits():
        for record in source.read(split):
            try:
                _decode(record)
            except UnfitError as error:
                apart.append(str(error))
    return ""


def _decode(record: Record) -> None:
    if not isinstance(record, dict):
        return
    if (image := media_in(record, "image")) is not None:
        images.decode(image, 3)
    if (sound := media_in(record, "audio")) is not None:
        audio.decode(sound, 16000)


def test_every_case_reads_while_it_is_whole(here: Path) -> None:
    for number, case in enumerate(cases(here)):
        folder = here / str(number)
        folder.mkdir()
        os.chdir(folder)
        put(case)
        outcome = bounded(lambda case=case: read(case))  # type: ignore[misc]
        assert outcome.said == "", case.name
        os.chdir(here)


def law(count: int, seed: int, folder: Path, *, init: bool = False) -> Counter[str]:
    """Let ``count`` damaged files be read; fail with those that break the law."""
    every, outcomes, broken, worst = cases(folder), Counter[str](), list[str](), Worst()
    json_schema()  # imports every component, once for all children
    for number in range(count):
        draw = random.Random(f"{seed}/{number}")
        case = every[number % len(every)]
        work = folder / "work"
        work.mkdir()
        os.chdir(work)
        put(case, damaged_bytes(case.files[case.damaged], draw))
        ways = {"read": lambda case=case: read(case)}
        if init:
            place = case.source["path"]
            place = place if isinstance(place, str) else "."
            ways["init"] = lambda place=place: _said("init", place, "--out", "r.yaml")
        for way, does in ways.items():
            outcome = bounded(does)
            worst.note(outcome, f"{case.name} {seed}/{number}, {way}")
            outcomes[f"{way}: {'refused' if outcome.said else 'accepted'}"] += 1
            if problem := outcome.problem():
                broken.append(f"{case.name} {seed}/{number}, {way}: {problem}")
                print(broken[-1], file=sys.stderr, flush=True)
        os.chdir(folder)
        shutil.rmtree(work)
    assert not broken, f"{len(broken)} of {count}:\n" + "\n".join(broken[:10])
    print(f"{count} files of {len(every)} formats: {dict(outcomes)}, {worst}")
    return outcomes


def _said(*arguments: object) -> str:
    answer = luban(*arguments)
    return answer.err if answer.code else ""


def test_damaged_files_end_with_one_error(here: Path) -> None:
    outcomes = law(64, 0, here)
    assert outcomes["read: refused"] > 5
    assert outcomes["read: accepted"] > 5


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_1000_damaged_files_end_with_one_error(here: Path) -> None:
    law(1000, 1, here, init=True)


@pytest.mark.parametrize(("name", "source"), [("x.npz", "arrays"), ("x.zip", "files")])
def test_each_byte_of_a_directory_of_a_zip(name: str, source: str, here: Path) -> None:
    """Encrypted, packed in an unknown way, before the beginning: one error, whatever it says."""
    if source == "arrays":
        np.savez(name, x=np.zeros((4, 8, 8), np.uint8), y=np.arange(4))
    else:
        with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(4):
                picture = io.BytesIO()
                Image.new("RGB", (8, 8), (9 * number, 0, 0)).save(picture, "PNG")
                archive.writestr(f"{'ab'[number % 2]}/{number}.png", picture.getvalue())
    whole = Path(name).read_bytes()
    case = Case(name, {name: whole}, name, {"name": source, "path": name})
    outcomes = Counter[bool]()
    for at in range(whole.index(b"PK\1\2"), len(whole)):
        for byte in {0, 1, 99, 255} - {whole[at]}:
            Path(name).write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
            try:
                read(case)
            except LubanError:
                outcomes[False] += 1
            else:
                outcomes[True] += 1
    assert min(outcomes[True], outcomes[False]) > 50


DEEP = "[" * 100_000 + "]" * 100_000
HOSTILE = {
    "deep.json": DEEP.encode(),
    "deep.jsonl": (DEEP + "\n").encode() * 3,
    "rows.json": json.dumps([{"text": "a", "more": 1}])
    .replace("1", "[" * 900 + "]" * 900)
    .encode(),
    "numbers.jsonl": b'{"text": "a", "label": ' + b"9" * 5000 + b"}\n",
    "surrogates.jsonl": b'{"text": "\\ud800 a", "label": "\\udfff"}\n' * 20,
    "empty.jsonl": b"",
    "blank.jsonl": b"\n\n\n",
    "empty.csv": b"",
    "head.csv": b"text,label\n",
    "nothing.json": b"[]",
    "no.json": b"{}",
    "zeros.txt": b"\0" * 1000,
    "line.txt": b"a" * 10_000_000,
    "fields.csv": b"a," * 200_000 + b"\n" + b"1," * 200_000,
    "wide.csv": b",".join(b"f%d" % n for n in range(9000)) + b"\n" + b"1," * 8999 + b"1\n",
    "quote.csv": b'text,label\n"' + b"a,b\n" * 20_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_by_init(name: str, here: Path) -> None:
    Path(name).write_bytes(HOSTILE[name])
    outcome = bounded(lambda: _said("init", name, "--out", "r.yaml"))
    assert not outcome.problem(), outcome.problem()


def test_an_empty_folder_is_refused_by_init(here: Path) -> None:
    Path("data").mkdir()
    assert luban("init", "data").code == 2


def test_names_that_are_not_utf8(here: Path) -> None:
    """A file can be called anything; what a recipe must name, it cannot."""
    folder = Path(os.fsdecode(b"d\xff"))
    folder.mkdir()
    for label in ("a", os.fsdecode(b"b\xfe")):
        (folder / label).mkdir()
        for number in range(6):
            name = os.fsdecode(b"%d\xfc.png" % number)
            Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(folder / label / name, "PNG")
    for place in (folder, folder / "a"):
        outcome = bounded(lambda place=place: _said("init", place, "--out", "r.yaml"))  # type: ignore[misc]
        assert not outcome.problem(), outcome.problem()
        assert outcome.said
    folder.rename("plain")
    for verb in (
        ["init", "plain", "--out", "r.yaml"],
        ["init", "plain", "--out", "r.yaml", "--json"],
    ):
        outcome = bounded(lambda verb=verb: _said(*verb))  # type: ignore[misc]
        assert not outcome.problem(), outcome.problem()
    text = here / os.fsdecode(b"t\xff.txt")
    text.write_text("some words\n" * 50)
    recipe = changed(RECIPE, {"data.source.path": str(text)})
    Path("r.yaml").write_text(json.dumps(recipe))
    assert "no text" in luban("validate", "r.yaml").err
    assert luban("validate", os.fsdecode(b"\xff.yaml")).code == 2
    assert luban("init", text).code == 2


def test_a_picture_of_49_megapixels_takes_less_than_a_gigabyte(here: Path) -> None:
    rows = np.arange(7000, dtype=np.uint8)[:, None, None]
    for label, shade in (("a", 1), ("b", 3)):
        (here / "set" / label).mkdir(parents=True)
        pixels = np.broadcast_to(rows * np.uint8(shade), (7000, 7000, 3))
        Image.fromarray(np.ascontiguousarray(pixels)).save(
            here / "set" / label / "x.png", compress_level=1
        )
    source = Source.from_dict({"name": "files", "path": "set"})

    def learn() -> str:
        task = Task.from_dict("image-classification").learn(source.read("train"))
        return "" if task.signature().outputs == 2 else "other labels"

    outcome = bounded(learn)
    assert not outcome.problem(), outcome.problem()
    assert outcome.said == ""
    Image.new("1", (9000, 9000)).save(here / "set" / "a" / "larger.png")
    assert "too many pixels" in " ".join(_apart(source))


def _apart(source: Source) -> list[str]:
    found = []
    for record in source.read("train"):
        try:
            _decode(record)
        except UnfitError as error:
            found.append(str(error))
    return found
