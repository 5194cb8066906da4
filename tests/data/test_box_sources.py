"""Images with boxes, as COCO, VOC and YOLO have them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from luban.core.errors import LubanError
from tests.data.media_files import apart, content, packed, png, rows, source, write, zipped

BOXES = [
    {"label": "cat", "box": [1.0, 0.0, 3.0, 4.0]},
    {"label": "dog", "box": [0.0, 1.0, 6.0, 2.0]},
]


def voc_xml(*boxes: tuple[str, float, float, float, float], difficult: int = 0) -> str:
    corners = ("xmin", "ymin", "xmax", "ymax")
    items = "".join(
        f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox>"
        + "".join(f"<{c}>{v}</{c}>" for c, v in zip(corners, box, strict=True))
        + "</bndbox></object>"
        for label, *box in boxes
    )
    return f"<annotation><size><width>6</width><height>4</height></size>{items}</annotation>"


VOC: dict[str, bytes | str] = {
    "V/Annotations/a.xml": voc_xml(("cat", 1, 0, 3, 4), ("dog", -1, 1, 9, 2), ("cat", 2, 2, 2, 3)),
    "V/Annotations/b.xml": voc_xml(),
    "V/JPEGImages/a.png": png(1),
    "V/JPEGImages/b.png": png(2),
}
YOLO: dict[str, bytes | str] = {
    "data.yaml": "names: {0: cat, 1: dog}\n",
    "images/train/a.png": png(1),
    "labels/train/a.txt": f"0 {2 / 6} 0.5 {2 / 6} 1\n1 0.5 0.375 1 0.25\n0 0.5 0.5 0 0.1\n",
    "images/val/b.png": png(2),
}


def coco(**changes: Any) -> str:
    kinds = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]
    notes = [
        (7, [1, 0, 2, 4], 0),
        (9, [-1, 1, 10, 1], 0),
        (7, [2, 2, 0, 1], 0),
        (7, [0, 0, 1, 1], 1),
    ]
    data = {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 6, "height": 4},
            {"id": 2, "file_name": "b.png", "width": 6, "height": 4},
        ],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": kind, "bbox": box, "iscrowd": crowd}
            for n, (kind, box, crowd) in enumerate(notes)
        ],
        "categories": kinds,
    }
    return json.dumps({**data, **changes})


@pytest.mark.parametrize("form", ["folder", "tar", "zip"])
def test_voc(form: str, tmp_path: Path) -> None:
    sets: dict[str, bytes | str] = {
        "V/ImageSets/Main/train.txt": "a\n",
        "V/ImageSets/Main/val.txt": "b 1\n",
    }
    found = source("voc", str(packed(tmp_path, form, {**VOC, **sets})))
    assert found.splits() == ("train", "validation")
    (first,) = rows(found)
    assert (content(first), first["objects"]) == (png(1), BOXES)
    assert (first["width"], first["height"]) == (6, 4)
    assert rows(found, "validation")[0]["objects"] == []
    assert "1 without area" in found.facts()["dropped boxes"]
    assert rows(source("voc", found.path)) == rows(found)  # type: ignore[attr-defined]


def test_voc_without_sets_and_difficult_objects(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "train/a.xml": voc_xml(("cat", 1, 0, 3, 4), difficult=1),
        "train/a.png": png(),
    }
    found = source("voc", str(write(tmp_path, files)))
    (kept,) = rows(found)[0]["objects"]
    assert kept["difficult"] is True
    assert rows(found.replace(difficult=False))[0]["objects"] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"V/Annotations/a.xml": "<annotation>"}, "XML is damaged"),
        ({"V/Annotations/a.xml": voc_xml(("", 1, 1, 2, 2))}, "no name"),
        ({"V/Annotations/a.xml": voc_xml(("cat", "x", 1, 2, 2))}, "needs numbers"),  # type: ignore[arg-type]
        ({"V/Annotations/a.xml": voc_xml(("cat", float("nan"), 1, 2, 2))}, "not finite"),
        ({"V/Annotations/c.xml": voc_xml()}, "no image that this describes"),
    ],
)
def test_bad_voc(change: dict[str, str], said: str, tmp_path: Path) -> None:
    (error,) = apart(source("voc", str(write(tmp_path, {**VOC, **change}))))
    assert said in error.what
    assert ".xml" in str(error)


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_yolo(form: str, tmp_path: Path) -> None:
    found = source("yolo", str(packed(tmp_path, form, YOLO)))
    assert found.splits() == ("train", "validation")
    (first,) = rows(found)
    assert [item["label"] for item in first["objects"]] == ["cat", "dog"]
    for item, expected in zip(first["objects"], BOXES, strict=True):
        assert item["box"] == pytest.approx(expected["box"])
    assert rows(found, "validation")[0]["objects"] == []
    assert "1 without area" in found.facts()["dropped boxes"]


@pytest.mark.parametrize("line", ["0 0.5 0.5 0.1", "2 0.5 0.5 0.1 0.1", "0 a b c d", "0.5 0 0 1 1"])
def test_bad_yolo(line: str, tmp_path: Path) -> None:
    write(tmp_path, {**YOLO, "labels/train/a.txt": f"\n{line}\n"})
    (error,) = apart(source("yolo", str(tmp_path)))
    assert "a.txt:2" in str(error)


def test_damaged_images_are_set_apart(tmp_path: Path) -> None:
    write(tmp_path, {**YOLO, "images/train/a.png": b"damaged"})
    (error,) = apart(source("yolo", str(tmp_path)))
    assert "damaged" in error.what


def test_coco(tmp_path: Path) -> None:
    write(tmp_path, {"x.json": coco(), "photos/a.png": png(1), "photos/b.png": png(2)})
    found = source("coco", str(tmp_path / "x.json"), images=str(tmp_path / "photos"))
    first, second = rows(found)
    crowd = {"label": "cat", "box": [0.0, 0.0, 1.0, 1.0], "crowd": True}
    assert (content(first), first["objects"]) == (png(1), [*BOXES, crowd])
    assert second["objects"] == []
    assert found.facts()["dropped boxes"].startswith("1 without area")
    assert found.files() == (
        tmp_path / "x.json",
        tmp_path / "photos/a.png",
        tmp_path / "photos/b.png",
    )
    zipped(tmp_path / "p.zip", {"a.png": png(1), "b.png": png(2)})
    assert len(rows(source("coco", str(tmp_path / "x.json"), images=str(tmp_path / "p.zip")))) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "no images"),
        (coco(annotations=[{"image_id": 5}]), "not listed"),
    ],
)
def test_bad_coco(text: str, said: str, tmp_path: Path) -> None:
    write(tmp_path, {"x.json": text, "a.png": png(), "b.png": png()})
    with pytest.raises(LubanError, match=said):
        rows(source("coco", str(tmp_path / "x.json")))


NOTE = {"image_id": 1, "category_id": 7}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"categories": []}, "no such category"),
        ({"annotations": [{**NOTE, "bbox": [1, 2]}]}, "no box"),
        ({"images": [{"id": 1}, {"id": 2, "file_name": "b.png"}]}, "no file_name"),
        ({"images": [{"id": 1, "file_name": "aa.png"}]}, "no such file"),
    ],
)
def test_images_that_coco_cannot_tell(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    write(tmp_path, {"x.json": coco(**changes), "a.png": png(), "b.png": png()})
    (error,) = apart(source("coco", str(tmp_path / "x.json")))
    assert said in error.what
    assert "x.json: image 1" in str(error)


def test_images_are_shown_as_they_lie(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (6, 4)).save(file, "PNG", exif=exif)
    files: dict[str, bytes | str] = {
        "images/a.png": file.getvalue(),
        "labels/a.txt": "0 0.5 0.5 1 1\n",
        "classes.txt": "cat\n",
    }
    (record,) = rows(source("yolo", str(write(tmp_path, files))))
    assert record["objects"][0]["box"] == [0, 0, 4, 6]
