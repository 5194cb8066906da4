"""What people have, as they unpacked it: judged right, or asked about; never a wrong recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from luban.recipe import Recipe
from tests.cases.layouts import Asked, Judged, Layout
from tests.cases.layouts_media import MEDIA
from tests.cases.layouts_pairs import PAIRS
from tests.cases.layouts_texts import TEXTS
from tests.life import done, luban

LAYOUTS: dict[str, Layout] = {**TEXTS, **PAIRS, **MEDIA}
JUDGED = {name: layout for name, layout in LAYOUTS.items() if isinstance(layout[1], Judged)}
ASKED = {name: layout for name, layout in LAYOUTS.items() if isinstance(layout[1], Asked)}


@pytest.mark.parametrize("name", JUDGED)
def test_judged_right(name: str, here: Path) -> None:
    make, expected = JUDGED[name]
    assert isinstance(expected, Judged)
    said = done("init", make(), "--json", *expected.arguments).json
    assert said["task"] == expected.task
    assert said["facts"]["records"] == expected.records
    assert len(said["classes"] or ()) == expected.classes
    assert dict(expected.source).items() <= said["source"].items()
    recipe = Recipe.read(Path(said["recipe"]))
    if len(expected.splits) > 1:
        assert recipe.data.source.splits() == expected.splits
    assert done("validate", said["recipe"], "data.split={validation: 0.2, test: 0.2}").code == 0


@pytest.mark.parametrize("name", ASKED)
def test_asked_about(name: str, here: Path) -> None:
    make, expected = ASKED[name]
    assert isinstance(expected, Asked)
    said = luban("init", make())
    assert (said.code, "Traceback" in said.err) == (2, False), said.out
    assert [word for word in expected.words if word not in said.err] == [], said.err
    assert not list(Path().glob("*.yaml")), "a recipe was written all the same"
