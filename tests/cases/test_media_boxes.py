"""Boxes as strangers' files have them: read rightly, or set apart with a reason.

Every case goes through a source and, where pixels or samples matter, through the task that reads
them, as a recipe does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from luban.core.contracts import Source
from luban.core.errors import DataError
from tests.cases.media import detect, picture, read, source, stems

ANNOTATION = {"image_id": 1, "category_id": 1}


def coco(root: Path, **parts: Any) -> Source:
    table = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}],
        "annotations": [{"id": 1, **ANNOTATION, "bbox": [0, 0, 9, 9]}],
        **parts,
    }
    for name in "abc":
        picture(root / f"{name}.png")
    (root / "a.json").write_text(json.dumps(table))
    return source("coco", str(root / "a.json"))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            {"images": [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}]},
            ["image id 1", "image 1 and image 2"],
        ),
        (
            {"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.png"}]},
            ["a.png", "image 1 and image 2"],
        ),
        (
            {"categories": [{"id": 1, "name": "x"}, {"id": 1, "name": "y"}]},
            ["category id 1", "category 1 and category 2"],
        ),
        (
            {"categories": [{"id": 1, "name": "x"}, {"id": 2, "name": "x"}]},
            ["'x'", "category 1 and category 2"],
        ),
        ({"annotations": [{**ANNOTATION, "image_id": 7, "bbox": [0, 0, 1, 1]}]}, ["image_id 7"]),
        ({"images": [{"id": [1], "file_name": "a.png"}]}, ["id is no number"]),
    ],
    ids=["image id", "image", "category id", "category", "unknown image", "id"],
)
def test_what_stands_twice_in_coco_is_an_error_that_names_both(
    parts: dict[str, Any], said: list[str], tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read(coco(tmp_path, **parts))
    for text in said:
        assert text in str(caught.value)


def test_joined_coco_files_keep_every_box_and_repeat_none(tmp_path: Path) -> None:
    first = {"id": 1, **ANNOTATION, "bbox": [0, 0, 9, 9]}
    second = {"id": 1, "image_id": 2, "category_id": 2, "bbox": [1, 1, 9, 9]}
    image = {"id": 1, "file_name": "a.png"}
    images = [image, image, {"id": 2, "file_name": "b.png"}]
    records, apart = read(coco(tmp_path, images=images, annotations=[first, first, second]))
    assert [[one["label"] for one in record["objects"]] for record in records] == [["x"], ["y"]]
    assert not apart


def test_a_key_twice_in_a_json_object_is_an_error(tmp_path: Path) -> None:
    found = coco(tmp_path)
    (tmp_path / "a.json").write_text('{\n"images": [],\n"annotations": [],\n"images": []}')
    with pytest.raises(DataError, match="line 2, column 1 and line 4, column 1"):
        read(found)


def test_coco_images_that_cannot_be_used_are_set_apart(tmp_path: Path) -> None:
    names = ["a.png", "lost.png", "b.png", None, "c.png"]
    notes = [{"image_id": 2, "category_id": 9, "bbox": [0, 0, 1, 1]}]
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    records, apart = read(coco(tmp_path, images=images, annotations=notes))
    assert [Path(str(r["image"])).name for r in records] == ["a.png", "c.png"]
    assert len(records) + len(apart) == len(names)
    assert "no such file" in apart[0]
    assert "no such category" in apart[1]
    assert "no file_name" in apart[2]


def test_a_coco_file_is_parsed_once_and_anew_when_it_changes(tmp_path: Path) -> None:
    found, path = coco(tmp_path), tmp_path / "a.json"
    assert len(read(found)[0]) == 2
    before, text = path.stat(), path.read_text()
    path.write_text(" " * len(text))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert len(read(source("coco", str(path)))[0]) == 2  # nothing says that it has changed
    assert len(read(coco(tmp_path, images=[{"id": 1, "file_name": "a.png"}]))[0]) == 1


def test_boxes_for_another_size_are_set_apart(tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "a.png", "width": 32, "height": 32},
        {"id": 2, "file_name": "b.png", "width": 64, "height": 64},
        {"id": 3, "file_name": "c.png"},
    ]
    records, _ = read(coco(tmp_path, images=images))
    wrong, *fine = detect(records)
    assert "another size" in wrong.what
    assert "32 x 32 in the annotation, 64 x 64 in the file" in str(wrong)
    assert all(example["size"].tolist() == [64, 64] for example in fine)


def voc(root: Path, names: list[str], sets: Mapping[str, list[str]], **how: Any) -> Source:
    """Write a set of Pascal VOC: ``encoding``, ``label`` and ``notes`` (the folder) may be told."""
    encoding, notes = how.get("encoding", "utf-8"), how.get("notes", "Annotations")
    for name in names:
        picture(root / "JPEGImages" / f"{name}.png")
        box = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
        label = how.get("label", "x")
        text = (
            f'<?xml version="1.0" encoding="{encoding}"?><annotation>{how.get("more", "")}<object>'
            f"<name>{label}</name><bndbox>{box}</bndbox></object></annotation>"
        )
        path = root / notes / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(how.get("written", encoding)))
    for name, lines in sets.items():
        (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
        (root / f"ImageSets/Main/{name}.txt").write_text("\n".join(lines))
    return source("voc", str(root))


@pytest.mark.parametrize(
    "encoding", ["gb2312", "gbk", "GB18030", "big5", "euc-kr", "shift_jis", "utf-16", "utf-8-sig"]
)
def test_voc_in_the_encoding_that_it_declares(encoding: str, tmp_path: Path) -> None:
    label = "한" if encoding == "euc-kr" else "日"
    records, apart = read(voc(tmp_path, ["a"], {}, encoding=encoding, label=label))
    assert not apart
    assert records[0]["objects"][0]["label"] == label


def test_voc_that_goes_beyond_the_declared_encoding(tmp_path: Path) -> None:
    # Windows writes GBK and declares its part of 1980.
    found = voc(tmp_path, ["a"], {}, encoding="gb2312", written="gbk", label="镕")
    assert read(found)[0][0]["objects"][0]["label"] == "镕"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"encoding": "klingon", "written": "utf-8"}, "not known: klingon"),
        ({"encoding": "zlib", "written": "utf-8"}, "not known: zlib"),
        ({"written": "gb18030", "label": "红"}, "not in the encoding"),
        ({"more": "<size><width>wide</width><height>4</height></size>"}, "needs numbers"),
        ({"more": "<size><width>4</width></size><size><width>9</width></size>"}, "2 times"),
        ({"label": "x</name><name>y"}, "2 times"),
        ({"label": "a & b"}, "damaged"),
    ],
    ids=str,
)
def test_voc_that_cannot_be_read_is_set_apart(
    how: dict[str, Any], said: str, tmp_path: Path
) -> None:
    voc(tmp_path, ["b"], {})
    records, apart = read(voc(tmp_path, ["a"], {}, **how))
    assert len(records) == 1
    assert said in apart[0]
    assert "a.xml" in apart[0]


def test_voc_with_entities_is_refused(tmp_path: Path) -> None:
    found = voc(tmp_path, ["a", "b"], {})
    bomb = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><annotation>&y;</annotation>'
    (tmp_path / "Annotations/a.xml").write_text(bomb)
    records, apart = read(found)
    assert len(records) == 1
    assert "entities" in apart[0]


@pytest.mark.parametrize(
    ("names", "train", "right"),
    [
        (["IMG 1", "IMG_2", "IMG_3"], ["IMG 1", "IMG_2"], ["IMG 1", "IMG_2"]),
        (["IMG 1", "IMG_3"], ["IMG 1  1"], ["IMG 1"]),
        (["1", "2", "3"], ["1.png", "2.png"], ["1", "2"]),
        (["1", "3"], ["1.xml"], ["1"]),
        (["1", "3"], ["JPEGImages/1.png"], ["1"]),
        (["1", "3"], ["/home/me/data/JPEGImages/1.jpg"], ["1"]),
        (["1", "3"], ["1 -1"], ["1"]),
        (["a.v1", "3"], ["a.v1", ""], ["a.v1"]),
        (["part 1", "part", "3"], ["part 1"], ["part 1"]),
    ],
    ids=lambda value: str(value),
)
def test_image_sets_with_blanks_suffixes_and_flags(
    names: list[str], train: list[str], right: list[str], tmp_path: Path
) -> None:
    found = voc(tmp_path, names, {"train": train, "val": names[-1:]})
    assert found.splits() == ("train", "validation")
    assert stems(found) == right
    assert not read(found)[1]


def test_an_entry_without_a_description_is_set_apart_with_its_line(tmp_path: Path) -> None:
    found = voc(tmp_path, ["a", "b"], {"train": ["a", "", "lost", "b"]})
    records, apart = read(found)
    assert len(records) == 2
    assert "train.txt:3" in apart[0]
    assert "lost" in apart[0]


def test_an_entry_twice_is_an_error_that_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1 and line 3"):
        read(voc(tmp_path, ["a", "b"], {"train": ["a", "b", "a.png"]}))


def test_stems_that_collide_across_folders_keep_their_own_boxes(tmp_path: Path) -> None:
    for year, label in (("VOC2007", "x"), ("VOC2012", "y")):
        voc(tmp_path / year, ["a", "b"], {"train": ["a", "b"]}, label=label)
    records, apart = read(source("voc", str(tmp_path)))
    told = {Path(str(r["image"])).parts[-3]: r["objects"][0]["label"] for r in records}
    assert len(records) == 4
    assert told == {"VOC2007": "x", "VOC2012": "y"}
    assert not apart


def test_images_of_the_same_stem_are_not_chosen_between(tmp_path: Path) -> None:
    found = voc(tmp_path, ["a", "b"], {})
    picture(tmp_path / "JPEGImages/a.jpg", (8, 8))
    records, apart = read(found)
    assert len(records) == 1
    assert "a.jpg, " in apart[0]
    assert "a.png" in apart[0]


def test_voc_in_lower_case_and_beside_masks(tmp_path: Path) -> None:
    found = voc(tmp_path, ["a"], {}, notes="annotations")
    (tmp_path / "JPEGImages").rename(tmp_path / "images")
    picture(tmp_path / "SegmentationClass/a.png", (8, 8))
    picture(tmp_path / "images/unseen.png")
    records, _ = read(found)
    assert Path(str(records[0]["image"])).parent.name == "images"
    assert "1 images of which no record is made" in found.facts()["left out"]
