"""Figures of what a model does: chosen by chance, and the worst first; never part of a claim."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from luban.core.contracts import Example, Illustrated, Task
from luban.inference.sheets import plain_text, sheet
from luban.run import Run
from luban.stages._figures import SHOWN, gallery, loss_unit, plot_things
from tests.inference.toy import Counting
from tests.life import done, luban
from tests.plugin.shades_life import know_shades, write_shades


@pytest.fixture(scope="module")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The finished run of a task that draws."""
    folder = tmp_path_factory.mktemp("shades")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        know_shades(patch)
        done("run", write_shades(folder))
        yield folder


@pytest.fixture
def run(shades: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(shades)
    know_shades(monkeypatch)
    return shades / "runs/shades"


class Drawing(Counting, Illustrated):
    """Draws numbers."""

    def show(self, axes: Any, example: Example, prediction: Any, target: Any) -> bool:
        axes.set_title(str(prediction))
        return prediction is not None


def size_of(picture: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(picture)) as image:
        return image.size


@pytest.mark.parametrize(
    ("task", "unit"),
    [
        ({"name": "text-generation", "tokenizer": "char"}, "nats/token"),
        ({"name": "image-classification"}, ""),
    ],
)
def test_a_loss_has_the_unit_that_the_task_measures_it_in(task: dict[str, str], unit: str) -> None:
    assert loss_unit(Task.from_dict(task)) == unit


def test_a_gallery_keeps_the_worst_the_worst_first() -> None:
    degrees = np.random.default_rng(0).permutation(200) / 100 - 0.5
    seen = gallery(lambda prediction, target: float(prediction - target), len(degrees), 3)
    for index, degree in enumerate(degrees):
        seen.see(index, {}, degree, 0.0)
    kept = [prediction for _, prediction, _ in seen.worst]
    assert kept == sorted(degrees, reverse=True)[:SHOWN]


def test_what_is_right_is_no_mistake_and_ties_go_by_number() -> None:
    seen = gallery(lambda prediction, target: float(prediction), 60, 0)
    for index in range(60):
        seen.see(index, {}, float(index % 2 and index > 10), index)
    assert [target for _, _, target in seen.worst] == list(range(11, 43, 2))
    assert seen.worst == seen.worst, "to look does not change it"


def test_a_number_that_is_none_hides_no_mistake() -> None:
    seen = gallery(lambda prediction, target: float(prediction), 20, 0)
    for index, degree in enumerate([0.2, float("nan"), 0.4, float("inf")]):
        seen.see(index, {}, degree, None)
    assert [prediction for _, prediction, _ in seen.worst] == [float("inf"), 0.4, 0.2]


def test_examples_are_chosen_by_seed_not_by_order() -> None:
    first, again, other = (gallery(lambda p, t: 0.0, 100, seed) for seed in (1, 1, 2))
    assert first.chosen == again.chosen != other.chosen
    for index in reversed(range(100)):
        first.see(index, {}, index, None)
    assert set(first.some) == first.chosen
    assert len(first.some) == SHOWN
    assert not first.worst
    assert len(gallery(lambda p, t: 0.0, 3, 0).chosen) == 3


@pytest.mark.parametrize(("count", "shape"), [(1, 1.0), (2, 2.0), (3, 1.0), (16, 1.0)])
def test_a_sheet_is_about_square(count: int, shape: float) -> None:
    picture = sheet(Drawing(), [({}, number, None) for number in range(count)])
    assert picture is not None
    width, height = size_of(picture)
    assert width / height == pytest.approx(shape, rel=0.1)


def test_nothing_to_see_is_no_sheet() -> None:
    assert sheet(Drawing(), [({}, None, None)]) is None
    assert sheet(Counting(), [({}, 1, None)]) is None


def test_texts_are_drawn_as_they_are() -> None:
    """Of a formula that is none matplotlib would make an error, of unknown letters a warning."""
    assert sheet(Drawing(), [({}, r"costs $5, or $\foo$ 仁者爱人", None)])


def test_the_fonts_of_the_user_come_back() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with plain_text():
        assert not mpl.rcParams["text.parse_math"]
    assert dict(mpl.rcParams) == before


def test_the_card_shows_what_evaluation_drew(run: Path) -> None:
    figures = Run.open(run).report("evaluate").details["figures"]
    assert figures == [f"figures/{name}.png" for name in ("shades-right", "examples", "worst")]
    card = (run / "README.md").read_text()
    for figure in figures:
        assert size_of((run / figure).read_bytes())[0] > 200
        assert f"({figure})" in card
    for caption in ("Shades right:", "Examples chosen by chance", "The worst mistakes"):
        assert f"\n\n{caption}" in card
    assert done("verify", run).err.count("recomputed: holds") == 4


def contents(run: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in run.rglob("*") if path.is_file()]
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def test_to_verify_writes_and_draws_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> bool:
        raise AssertionError("verify drew a figure")

    monkeypatch.setattr(type(Run.open(run).recipe.task), "show", fail)
    before = contents(run)
    done("verify", run)
    assert contents(run) == before


def test_a_run_that_is_only_read_writes_nothing(run: Path) -> None:
    only_read = Run.open(run, main=False)
    before = contents(run)
    task: Task = Drawing()
    assert plot_things(only_read, "more", task, [({}, 1, None)]) == []
    only_read.write_text("a.txt", "a")
    only_read.write_bytes("a.png", b"a")
    only_read.write_json("a.json", {})
    only_read.say("a")
    assert contents(run) == before


def test_to_evaluate_again_draws_again(run: Path) -> None:
    (run / "figures/worst.png").unlink()
    done("evaluate", run, "--force")
    assert (run / "figures/worst.png").is_file()
    assert luban("verify", run, "--stage", "evaluate").code == 0
