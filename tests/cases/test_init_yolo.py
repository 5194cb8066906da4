"""`luban init` says what the lines of YOLO labels hold, or asks."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from luban.core.contracts import SetApart, Source
from tests.cases.media import picture
from tests.life import luban

pytestmark = pytest.mark.usefixtures("here")
BOX = "0 .5 .5 .2 .2"
FOUR = "0 .1 .1 .3 .1 .3 .3 .1 .3"
FIVE = f"{FOUR} .1 .2"
POSE = f"{BOX} .5 .5 2 .4 .4 1 .6 .6 0"


def write(lines: list[str], data: str = "names: [x]\n") -> None:
    for number in range(24):
        picture(Path(f"set/images/{number}.png"), (60 + number, 60))
        label = Path(f"set/labels/{number}.txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(lines[number % len(lines)] + "\n")
    Path("set/data.yaml").write_text(data)


@pytest.mark.parametrize(
    ("lines", "data", "told"),
    [
        ([BOX], "", None),
        ([FOUR, FIVE], "", "outlines"),
        ([POSE], "", "poses"),
        ([POSE], "kpt_shape: [3, 3]\n", None),
        ([f"{BOX} .5 .5 .4 .4"], "kpt_shape: [2, 2]\n", None),
    ],
    ids=["boxes", "outlines", "poses", "told", "told without visibility"],
)
def test_the_form_of_lines_is_set(lines: list[str], data: str, told: str | None) -> None:
    write(lines, f"names: [x]\n{data}")
    said = luban("init", "set", "--output", "a.yaml")
    assert said.code == 0, said.err
    source = yaml.safe_load(Path("a.yaml").read_text())["data"]["source"]
    assert source.get("lines") == told
    entries = list(Source.from_dict(source).read("train"))
    assert not any(isinstance(entry, SetApart) for entry in entries)
    assert all(len(entry["objects"]) == 1 for entry in entries)


def test_lines_that_can_be_two_things_are_asked_about() -> None:
    write([FOUR])
    said = luban("init", "set", "--output", "a.yaml")
    assert said.code == 2
    assert "8 numbers after the class in all 24 lines" in said.err
    assert "lines=outlines" in said.err
    assert not Path("a.yaml").exists()
    assert luban("init", "set", "lines=outlines", "--output", "a.yaml").code == 0
    source = yaml.safe_load(Path("a.yaml").read_text())["data"]["source"]
    assert source["lines"] == "outlines"
