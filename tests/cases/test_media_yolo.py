"""Labels of YOLO as strangers' files have them: read by their declared form, or set apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from luban.core.contracts import SetApart
from luban.core.errors import LubanError
from tests.cases.media import detect, picture, read, stems, yolo

BOX, OUTLINE = "0 0.5 0.5 0.4 0.4", "0 0.1 0.1 0.4 0.1 0.4 0.6"
POSE = "0 0.5 0.5 0.4 0.4 0.4 0.4 0.6 0.4"


@pytest.mark.parametrize(
    ("line", "lines", "data", "right"),
    [
        (BOX, None, "", [30, 30, 70, 70]),
        (OUTLINE, "outlines", "", [10, 10, 40, 60]),
        (POSE, "poses", "", [30, 30, 70, 70]),
        (POSE, None, "kpt_shape: [2, 2]\n", [30, 30, 70, 70]),
        ("1 .5 .5 .4 .4 .4 .4 2 .6 .4 0", None, "kpt_shape: [2, 3]\n", [30, 30, 70, 70]),
        (POSE, None, "", "lines says: boxes"),
        (OUTLINE, None, "", "set data.source.lines: outlines"),
        (BOX, "outlines", "", "lines says: outlines"),
        (BOX, "poses", "", "lines says: poses"),
        (POSE, None, "kpt_shape: [17, 3]\n", "lines says: poses"),
        ("0 0.5 0.5 0.4 0.4 0.9", None, "", "lines says: boxes"),
        ("0 0.5 0.5 0.4", None, "", "lines says: boxes"),
        ("0 50 50 40 40", None, "", "no shares"),
        ("0 0.5 0.5 -0.4 0.4", None, "", "no shares"),
        ("2 0.5 0.5 0.4 0.4", None, "", "no class of this number"),
        ("-1 0.5 0.5 0.4 0.4", None, "", "no class of this number"),
        ("0.5 0.5 0.5 0.4 0.4", None, "", "no class of this number"),
        ("x 0.5 0.5 0.4 0.4", None, "", "needs numbers"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_yolo_line_is_read_by_its_declared_kind_only(
    line: str, lines: str | None, data: str, right: Any, tmp_path: Path
) -> None:
    found = yolo(
        tmp_path, {"a": line}, f"names: [x, y]\n{data}", **({"lines": lines} if lines else {})
    )
    records, apart = read(found)
    if isinstance(right, str):
        assert not records
        assert right in str(next(e.error for e in found.read("train") if isinstance(e, SetApart)))
        assert "a.txt:1" in apart[0]
    else:
        assert records[0]["objects"][0]["box"] == pytest.approx(right)


@pytest.mark.parametrize(
    ("names", "right"),
    [
        ("[no, yes]", ["no", "yes"]),
        ("[on, off]", ["on", "off"]),
        ("[1e3, 0123]", ["1e3", "0123"]),
        ("[12:30, 2020-01-01]", ["12:30", "2020-01-01"]),
        ("[~, null]", ["~", "null"]),
        ("{0: 1.50, 1: true}", ["1.50", "true"]),
        ("\n  - N\n  - Y", ["N", "Y"]),
    ],
)
def test_class_names_stay_as_they_are_written(names: str, right: list[str], tmp_path: Path) -> None:
    lines = "0 .5 .5 .1 .1\n1 .5 .5 .1 .1"
    records, _ = read(yolo(tmp_path, {"a": lines}, f"names: {names}\n"))
    assert [one["label"] for one in records[0]["objects"]] == right


def test_class_names_of_a_recipe_that_stand_twice(tmp_path: Path) -> None:
    with pytest.raises(LubanError, match="stands twice"):
        read(yolo(tmp_path, {"a": BOX}, "", names=["x", "x"]))


@pytest.mark.parametrize(
    ("data", "more", "said"),
    [
        ("names: {0: x, 0: y}\n", {}, "stands twice"),
        ("names: {0: x, 00: y}\n", {}, "stands twice"),
        ("names: [x]\nnc: 1\nnames: [y]\n", {}, "line 1 and line 3"),
        ("names: [x, x]\n", {}, "number 0 and number 1"),
        ("names: [x]\nnc: 2\n", {}, "nc is not the number"),
        ("names: [x]\nnc: one\n", {}, "nc is not the number"),
        ("names: [x]\nnc: [1]\n", {}, "nc is not the number"),
        ("names: [x]\nkpt_shape: 17\n", {}, "kpt_shape is not clear"),
        ("names: [x]\nkpt_shape: [[17], 3]\n", {}, "kpt_shape is not clear"),
        ("names: {a: x}\n", {}, "does not name the classes"),
        ("names: [x]\n", {"classes.txt": "y\n"}, "name the classes differently"),
        ("", {"classes.txt": "x\n\ny\n"}, "does not name the classes"),
    ],
)
def test_class_names_that_are_not_clear(
    data: str, more: dict[str, str], said: str, tmp_path: Path
) -> None:
    found = yolo(tmp_path, {"a": BOX}, data)
    for name, text in more.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(LubanError, match=said):
        list(found.read("train"))


def test_labels_without_an_image_and_shared_labels_are_set_apart(tmp_path: Path) -> None:
    found = yolo(tmp_path, {"a": BOX, "b": BOX, "c": ""})
    (tmp_path / "images/b.png").unlink()
    picture(tmp_path / "images/c.jpg")
    records, apart = read(found)
    assert [Path(str(record["image"])).name for record in records] == ["a.png"]
    assert len(apart) == 3
    assert [any(f"{name}.txt" in line for line in apart) for name in "abc"] == [False, True, True]


def test_the_splits_of_data_yaml_are_kept(tmp_path: Path) -> None:
    data = "names: [x]\ntrain: ./train.txt\nval: ../images/second\ntest: test/images\n"
    found = yolo(tmp_path, {"first/a": BOX, "first/b": BOX, "second/c": BOX, "third/d": BOX}, data)
    (tmp_path / "train.txt").write_text("./images/first/a.png\n/elsewhere/images/first/lost.png\n")
    assert found.splits() == ("train", "validation")
    records, apart = read(found)
    assert [Path(str(record["image"])).stem for record in records] == ["a"]
    assert "train.txt:2" in apart[0]
    assert stems(found, "validation") == ["c"]
    said = found.facts()["left out"]
    assert "2 images in no split" in said
    assert "test: test/images" in said


@pytest.mark.parametrize("form", ["TIFF", "PNG", "WEBP", "JPEG", "MPO", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_picture_lying_on_its_side_is_turned_once(
    form: str, orientation: int, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = (60, 64) if orientation in (6, 8) else (64, 60)  # upright: 64 wide, 60 high
    found = yolo(tmp_path, {"a": "0 0.5 0.3 0.25 0.2"})
    (tmp_path / "images/a.png").unlink()
    picture(tmp_path / "images/a.png", stored, form, exif=exif)
    records, _ = read(found)
    assert records[0]["objects"][0]["box"] == pytest.approx([24, 12, 40, 24])
    assert detect(records)[0]["size"].tolist() == [60, 64]
