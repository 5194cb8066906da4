"""`luban predict` over images: folders, archives and single files; figures; bad ones by name."""

from __future__ import annotations

import base64
import csv
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from luban.core.files import write_json
from luban.prediction import files as batch
from luban.run import Run
from tests.inference.toy_media import bomb
from tests.life import done, luban
from tests.plugin.shades_life import know_shades, png, write_shades

OUTPUT = Path("out.jsonl")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a plug-in that tells light images from dark ones."""
    folder = tmp_path_factory.mktemp("shades")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        know_shades(patch)
        done("train", write_shades(folder))
    return folder / "runs/shades"


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained run; the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    know_shades(monkeypatch)
    return trained


PHOTOS = {
    "a.png": png(220),
    "b/c.jpg": png(30),
    "b/d.PNG": png(25, (40, 20)),
    "b/e.png": b"no image",
    "f.png": png(230)[:50],
    "g.bmp": bomb(),
    "h.png": b"",
    "i.webp": png(210),
    "notes.txt": b"not asked about",
    ".hidden.png": png(1),
}
GOOD = {"a.png": "light", "b/c.jpg": "dark", "b/d.PNG": "dark", "i.webp": "light"}
BAD = {
    "b/e.png": "damaged or not an image",
    "f.png": "damaged or not an image",
    "g.bmp": "too many pixels",
    "h.png": "damaged or not an image",
}


def as_folder() -> str:
    for name, data in PHOTOS.items():
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        Path("photos", name).write_bytes(data)
    return "photos"


def as_tar(mode: Literal["w", "w:gz"], suffix: str) -> str:
    with tarfile.open(f"photos{suffix}", mode) as tar:
        for name, data in PHOTOS.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return f"photos{suffix}"


def as_zip() -> str:
    with zipfile.ZipFile("photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in PHOTOS.items():
            archive.writestr(name, data)
    return "photos.zip"


PLACES = {
    "a folder": as_folder,
    "a tar": lambda: as_tar("w", ".tar"),
    "a packed tar": lambda: as_tar("w:gz", ".tar.gz"),
    "a zip": as_zip,
}


def lines(path: Path | str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_record_a_file_in_order_and_the_bad_ones_by_name(run: Path, place: Any) -> None:
    said = luban("predict", run, "--input", place(), "--output", OUTPUT, "--batch-size", 2)
    assert said.code == 2
    assert {row["id"]: row["label"] for row in lines(OUTPUT)} == GOOD
    assert [row["row"] for row in lines(OUTPUT)] == [1, 2, 3, 8]
    bad = lines("out.jsonl.bad.jsonl")
    assert [row["id"] for row in bad] == list(BAD)
    for row in bad:
        assert BAD[row["id"]] in row["what"]
        assert f"{row['id']}: {row['what']}" in said.err
        assert row["record"]["image"].endswith(row["id"])
    assert "4 of 8 rows predicted" in said.err
    assert "Traceback" not in said.err


def test_on_standard_output(run: Path) -> None:
    said = luban("predict", run, "--input", as_folder())
    assert [json.loads(line)["id"] for line in said.out.splitlines()] == list(GOOD)
    assert "f.png: this image is damaged" in said.err
    only = done("predict", run, "--input", "photos/a.png")
    assert json.loads(only.out)["id"] == "a.png"


def test_as_a_table(run: Path) -> None:
    luban("predict", run, "--input", as_zip(), "--output", "out.csv")
    with Path("out.csv").open(newline="") as file:
        assert {row["id"]: row["label"] for row in csv.DictReader(file)} == GOOD


ONE: dict[str, list[str]] = {
    "--file": ["--file", "photos/a.png"],
    "curl's way": ["image=@photos/a.png"],
    "base64": ["image=" + base64.b64encode(png(220)).decode()],
}


@pytest.mark.parametrize("arguments", ONE.values(), ids=ONE)
def test_one_record(run: Path, arguments: list[str]) -> None:
    as_folder()
    assert done("predict", run, *arguments, "--json").json["label"] == "light"


REFUSED: dict[str, tuple[list[str], str]] = {
    "no such folder": (["--input", "photo"], "photos"),
    "no such file": (["--file", "photos/b.png"], "there is no such file"),
    "a file that is a folder": (["--file", "photos"], "there is no such file"),
    "no such file in a field": (["image=@a.png"], "there is no such file"),
    "a name without the sign": (["image=photos/a.png"], "image=@photos/a.png"),
    "no file at all": (["image=a-name"], "is text, but not base64"),
    "nothing": ([], "--file FILE"),
    "no image": (["--input", "empty"], "there is no image here"),
    "no archive": (["--input", "photos/no.tar"], "archive is damaged"),
    "two at once": (["--input", "photos", "--file", "photos/a.png"], "one of them"),
    "text": (["--text", "a"], "a text alone is no record"),
    "an option": (["--input", "photos", "fields.a=b"], "files have no options"),
    "a damaged one": (["--file", "photos/f.png"], "photos/f.png: this image is damaged"),
}


@pytest.mark.parametrize(("arguments", "what"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_said(run: Path, arguments: list[str], what: str) -> None:
    as_folder()
    Path("empty").mkdir()
    Path("photos/no.tar").write_text("no tar")
    said = luban("predict", run, *arguments)
    assert said.code == 2
    assert what in said.err
    assert "Traceback" not in said.err


def test_rows_with_files_in_base64(run: Path) -> None:
    """A bad row says what is wrong with a file, and never repeats it."""
    image = base64.b64encode(png(220)).decode()
    rows = [{"image": image}, {"image": image[:-3] + "*" * 5000}, {"image": "a" * 4000}, {"x": 1}]
    Path("in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    said = luban("predict", run, "--input", "in.jsonl", "--output", OUTPUT)
    assert said.code == 2
    assert [row["label"] for row in lines(OUTPUT)] == ["light"]
    assert Path("out.jsonl.bad.jsonl").stat().st_size < 4000
    assert "(4,000 characters)" in lines("out.jsonl.bad.jsonl")[1]["record"]["image"]


class Killed(Exception):
    """Stands for a kill that leaves no time to tidy up."""


@pytest.mark.parametrize("moment", range(5))
def test_a_kill_costs_nothing_but_time(
    run: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    Path("many").mkdir()
    for number in range(20):
        data = png(number * 12, seed=number) if number % 7 else b"bad"
        Path(f"many/{number:02}.png").write_bytes(data)
    command = ("predict", run, "--input", "many", "--batch-size", 2)
    luban(*command, "--output", "whole.jsonl")
    monkeypatch.setattr(batch, "COMMIT_EVERY", 0)
    left = moment

    def dying(*arguments: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        write_json(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "write_json", dying)
        assert "Killed" in luban(*command, "--output", OUTPUT).err
    said = luban(*command, "--output", OUTPUT, "--json")
    assert said.json["resumed_at"] == 4 * moment
    for end in ("", ".bad.jsonl"):
        assert Path(f"out.jsonl{end}").read_bytes() == Path(f"whole.jsonl{end}").read_bytes()


def test_other_files_are_another_input(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("predict", run, "--input", as_folder(), "--output", OUTPUT)
    with monkeypatch.context() as patch:
        patch.setattr(batch.Job, "finish", lambda self: (_ for _ in ()).throw(Killed()))
        luban(*command)
    Path("photos/z.png").write_bytes(png(5))
    assert "another input" in luban(*command).err
    Path("photos/z.png").unlink()
    assert "rows predicted" in luban(*command).err


def test_figures(run: Path) -> None:
    folder = Path("figures")
    command = ("predict", run, "--input", as_folder(), "--output", OUTPUT, "--figures", folder)
    said = luban(*command, "--json")
    assert said.json["figures"] == "figures"
    names = [path.name for path in sorted(folder.iterdir())]
    assert names == ["000001-a.png", "000002-c.png", "000003-d.png", "000008-i.png"]
    for path in folder.iterdir():
        with Image.open(path) as image:
            assert image.size[0] > 400
    done("predict", run, "--file", "photos/a.png", "--figures", "one")
    assert [path.name for path in Path("one").iterdir()] == ["000001-a.png"]


def test_names_of_figures_lead_nowhere(run: Path) -> None:
    image = base64.b64encode(png(220)).decode()
    rows = [{"id": name, "image": image} for name in ("../../x", "a\0b", "/", "仁" * 300)]
    Path("in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done("predict", run, "--input", "in.jsonl", "--output", OUTPUT, "--figures", "f")
    names = sorted(path.name for path in Path("f").iterdir())
    assert names == [
        "000001-x.png", "000002-a_b.png", "000003.png", f"000004-{'仁' * 50}.png",
    ]  # fmt: skip


def test_a_task_that_draws_nothing_says_so(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(type(Run.open(run).recipe.task), "show")
    said = luban("predict", run, "--file", "a.png", "--figures", "f")
    assert said.code == 2
    assert "draws no figures" in said.err


def test_parquet_with_images_inside(run: Path) -> None:
    images = [{"bytes": png(shade), "path": None} for shade in (220, 30)]
    pq.write_table(pa.table({"photo": images}), "new.parquet")
    said = done("predict", run, "--input", "new.parquet", "fields.image=photo")
    assert [json.loads(line)["label"] for line in said.out.splitlines()] == ["light", "dark"]


def test_many_bad_rows_of_one_cause_are_told_once(run: Path) -> None:
    Path("rows.csv").write_text("photo\n" + "a.png\n" * 90)
    for more in ([], ["--output", str(OUTPUT)]):
        said = luban("predict", run, "--input", "rows.csv", *more)
        assert said.code == 2
        assert said.err.count("the record has no image") == 5
        assert "no row could be predicted" in said.err
        assert "fields.OURS=THEIRS" in said.err
    assert "85 more" in luban("predict", run, "--input", "rows.csv").err
