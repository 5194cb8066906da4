"""`luban generate` where a run makes images: one sheet, or a file for each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from luban.core import registry
from luban.core.contracts import Generative
from luban.inference.images import ImageMaker
from luban.prediction.image_files import sheet_of
from luban.run import Run
from tests.life import done, luban
from tests.plugin.shades_life import know_shades, write_shades


def drawn(label: str | None, count: int, seed: int) -> list[Any]:
    shade = {None: 128, "dark": 10, "light": 250}[label]
    images = np.full((count, 4, 6, 1), shade, np.uint8)
    images[:, 0] = np.random.default_rng(seed).integers(0, 256, (count, 6, 1))
    return list(images)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shades")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        know_shades(patch)
        done("train", write_shades(folder))
    return folder / "runs/shades"


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that makes images; the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    know_shades(monkeypatch)
    maker = ImageMaker(("dark", "light"), (4, 6), drawn, batch_size=2)
    sorting: Any = type(Run.open(trained).recipe.task)

    class ShadeSorting(sorting, Generative):  # type: ignore[misc]
        def generator(self, model: Any) -> ImageMaker:
            return maker

    monkeypatch.setattr(sys.modules[sorting.__module__], "ShadeSorting", ShadeSorting)
    registry.forget_plugins()
    return trained


def pixels(path: Path | str) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_file_each(run: Path) -> None:
    command = ("generate", run, "--prompt", "Light", "-n", 3, "--seed", 5, "--output", "made")
    said = done(*command, "--json").json
    assert said == {"label": "light", "seed": 5, "files": [f"made/{i}.png" for i in (1, 2, 3)]}
    made = [pixels(file) for file in said["files"]]
    assert all(image.shape == (4, 6) and (image[1:] == 250).all() for image in made)
    assert len({image.tobytes() for image in made}) == 3
    done(*command, "--force")
    assert (pixels("made/2.png") == made[1]).all(), "the same seed makes the same images"


def test_all_on_one_sheet(run: Path) -> None:
    said = done("generate", run, "--prompt", "dark", "-n", 5, "--output", "made.png", "--seed", 1)
    assert "5 of dark, seed 1: made.png" in said.err
    sheet = pixels("made.png")
    assert sheet.shape == (2 * 4 + 2, 3 * 6 + 2 * 2)
    assert (sheet[4:6] == 255).all(), "white between rows"
    assert (sheet[6:, 16:] == 255).all(), "no sixth image"
    done("generate", run, "--output", "one.png")
    assert (pixels("one.png")[1:] == 128).all(), "no prompt asks for anything"


def test_a_sheet_holds_the_images_in_order() -> None:
    images = [np.full((2, 2, 3), i, np.uint8) for i in range(4)]
    sheet = sheet_of(images)
    assert [sheet[y, x].tolist() for y in (0, 4) for x in (0, 4)] == [[i] * 3 for i in range(4)]


REFUSED: dict[str, tuple[list[str], str]] = {
    "no place": ([], "--output NAME.png"),
    "an unknown label": (["--prompt", "lite", "--output", "a.png"], "did you mean 'light'?"),
    "none": (["-n", "0", "--output", "a.png"], "1 or more"),
    "another format": (["--output", "a.jpg"], "PNG"),
    "a file that is there": (["--output", "there.png"], "--force"),
    "a file for a folder": (["--output", "there"], "not a folder"),
    "what is for text": (["--temperature", "0.5", "--output", "a.png"], "--seed"),
    "a stop": (["--stop", "x", "--output", "a.png"], "--seed"),
    "a seed below 0": (["--seed", "-1", "--output", "a.png"], "seed"),
}


@pytest.mark.parametrize(("arguments", "what"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_said(run: Path, arguments: list[str], what: str) -> None:
    for name in ("there", "there.png"):
        Path(name).write_bytes(b"mine")
    said = luban("generate", run, *arguments)
    assert said.code == 2
    assert what in said.err
    assert "Traceback" not in said.err
    assert Path("there.png").read_bytes() == b"mine"


def test_nothing_is_made_that_cannot_be_kept(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(ImageMaker, "make", lambda *asked: made.append(asked))
    Path("there.png").write_bytes(b"mine")
    assert luban("generate", run, "--output", "there.png").code == 2
    assert not made


def test_other_verbs_point_here(run: Path) -> None:
    for verb, more in (("predict", ["--file", "a.png"]), ("chat", [])):
        said = luban(verb, run, *more)
        assert said.code == 2
        assert f"luban generate {run}" in said.err


def test_text_is_not_written_to_a_file(my_life: Path) -> None:
    said = luban("generate", "runs/tiny", "--output", "a.txt")
    assert said.code == 2
    assert "standard output" in said.err
