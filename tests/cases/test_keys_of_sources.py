"""Every source: a key or a name that a file gives twice is an error that names both places.

Where both are kept, nothing is lost: these unions are listed too, with what they hold.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from luban.core import registry
from luban.core.contracts import SetApart, Source
from luban.core.errors import DataError
from tests.cases.rows_of_sources import (
    CONLL,
    LISTED,
    META,
    PICTURES,
    PNG,
    SOUNDS,
    SQUAD,
    TABLE,
    VOC,
    YOLO,
    Case,
    N,
    case,
    coco,
    jsonl,
    npy,
    without,
    xml,
)
from tests.data.media_files import packed

pytestmark = pytest.mark.usefixtures("here")

_TABLE = jsonl(TABLE)
_XML = xml("3.png")


def columns(*names: str) -> bytes:
    file = io.BytesIO()
    arrays = [pyarrow.array(["a", "b"]) for _ in names]
    parquet.write_table(pyarrow.Table.from_arrays(arrays, names=list(names)), file)
    return file.getvalue()


def archive(*members: tuple[str, bytes | str]) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as packed_file:
        warnings.simplefilter("ignore")  # Python warns of the name that stands twice
        for name, content in members:
            packed_file.writestr(name, content)
    return file.getvalue()


def voc(before: str, after: str) -> Case:
    return case({**VOC, "Annotations/3.xml": _XML.replace(before, after)}, 8, 1)


def boxes(**more: Any) -> Case:
    return case({**PICTURES, "t.json": coco(N, N, **more)}, 0, path="data/t.json")


_NPZ = archive(
    ("x.npy", npy(np.zeros((8, 4)))), *[("y.npy", npy(np.arange(8) + n)) for n in (0, 1)]
)
_SIZE = "<size><width>10</width><height>10</height></size>"
_INNER = '{"text": "a", "more": {"k": 1, "k": 2}}'
_BOX = "<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>7</xmax><ymax>7</ymax></bndbox>"

#: Of each source: files with something twice, and the two places. All is refused where no record
#: is set apart.
TWICE: dict[str, dict[str, tuple[Case, str]]] = {
    "arrays": {"an array": (case({"t.npz": _NPZ}, 0, path="data/t.npz"), "array 2 and array 3")},
    "coco": {
        "an image id": (boxes(images=[{"id": 3, "file_name": "x.png"}]), "image 4 and image 9"),
        "an image": (boxes(images=[{"id": 9, "file_name": "3.png"}]), "image 4 and image 9"),
        "a category id": (boxes(categories=[{"id": 1, "name": "y"}]), "category 1 and category 2"),
        "a category": (boxes(categories=[{"id": 2, "name": "x"}]), "category 1 and category 2"),
        "a key": (
            case({**PICTURES, "t.json": '{"images": [],\n"images": []}'}, 0, path="data/t.json"),
            "line 1, column 2 and line 2, column 1",
        ),
    },
    "csv": {
        "a column": (case({"t.csv": "text,label,label\na,b,c\n"}, 0), "columns 2 and 3"),
        "of tabs": (case({"t.tsv": "text\tlabel\tlabel\na\tb\tc\n"}, 0), "columns 2 and 3"),
    },
    "files": {
        "a column": (
            case({**PICTURES, "metadata.csv": "file_name,label,label\n0.png,a,b\n"}, 0),
            "column 2 and column 3",
        ),
        "a file": (
            case({**PICTURES, "metadata.csv": META + "2.png,b\n"}, 9, 2),
            "metadata.csv:4 and data/metadata.csv:10",
        ),
        "a transcript": (
            case({**SOUNDS, "all.trans.txt": LISTED + "3 other\n"}, 8, 1),
            "all.trans.txt:4 and all.trans.txt:9",
        ),
        "a key beside a file": (
            case({**PICTURES, "0.json": '{"label": "a", "label": "b"}'}, 8, 1),
            "line 1, column 2 and line 1, column 16",
        ),
        "a key of a row": (
            case({**PICTURES, "metadata.jsonl": '{"file_name": "0.png"}\n'
                  '{"file_name": "1.png", "x": 1, "x": 2}\n'}, 2, 1),
            "column 24 and column 32",
        ),
    },
    "json": {
        "a key of a record": (
            case({"t.json": '[{"text": "a",\n"text": "b"}]'}, 0),
            "line 1, column 3 and line 2, column 1",
        ),
        "a key around": (
            case({"t.json": '{"data": [{"text": "a"}], "data": [{"text": "b"}]}'}, 0),
            "line 1, column 2 and line 1, column 27",
        ),
    },
    "jsonl": {
        "a key": (case({"t.jsonl": _TABLE + '{"text": "a", "text": "b"}\n'}, 9, 1),
                  "column 2 and column 15"),
        "a key within": (case({"t.jsonl": _TABLE + _INNER}, 9, 1), "column 24 and column 32"),
    },
    "parquet": {"a column": (case({"t.parquet": columns("x", "y", "y")}, 0), "columns 2 and 3")},
    "squad": {
        "a question": (case({"t.json": json.dumps([*SQUAD, SQUAD[2]])}, 0), "questions 3 and 9"),
        "a key": (case({"t.json": '[{"context": "a",\n"context": "b", "qas": []}]'}, 0),
                  "line 1, column 3 and line 2, column 1"),
    },
    "voc": {
        "an entry": (
            case({**VOC, "ImageSets/Main/train.txt": "0\n1\n0\n"}, 0), "line 1 and line 3",
        ),
        "a size": (voc("</size>", f"</size>{_SIZE}"), f"<height>20</height></size> and {_SIZE}"),
        "a class": (voc("</name>", "</name><name>y</name>"), "<name>x</name> and <name>y</name>"),
        "a box": (voc("</bndbox>", f"</bndbox>{_BOX}"), f"and {_BOX[:80]}"),
        "an edge": (voc("</xmin>", "</xmin><xmin>3</xmin>"), "<xmin>1</xmin> and <xmin>3</xmin>"),
        "a mark": (
            voc("</bndbox>", "</bndbox><difficult>0</difficult><difficult>1</difficult>"),
            "<difficult>0</difficult> and <difficult>1</difficult>",
        ),
    },
    "yolo": {
        "a class": (case({**YOLO, "data.yaml": "names: [x, x]\n"}, 0), "number 0 and number 1"),
        "a number": (
            case({**YOLO, "data.yaml": "names:\n  0: x\n  0: y\n"}, 0), "line 2 and line 3",
        ),
        "a key": (case({**YOLO, "data.yaml": "names: [x]\nnames: [y]\n"}, 0), "line 1 and line 2"),
        "a class of a list": (
            case({**without(YOLO, "data.yaml"), "classes.txt": "x\nx\n"}, 0),
            "number 0 and number 1",
        ),
        "an entry": (
            case({**YOLO, "data.yaml": "names: [x]\ntrain: train.txt\n",
                  "train.txt": "images/1.png\nimages/1.png\n"}, 0),
            "line 1 and line 2",
        ),
        "labels of two images": (
            case({**YOLO, "images/3.jpg": PNG[4]}, 9, 2), "images/3.jpg and images/3.png",
        ),
    },
}  # fmt: skip
#: Kept, both of them: of a source, what it is, and how many records there are with how many parts.
UNION: Mapping[str, tuple[Case, str, int, int]] = {
    "coco: the id of an annotation, which nothing refers to": (
        boxes(annotations=[{"id": 3, "image_id": 3, "category_id": 1, "bbox": [9, 9, 5, 5]}]),
        "objects", 8, 9,
    ),
    "yolo: a line of labels": (
        case({**YOLO, "labels/3.txt": "0 .5 .5 .2 .2\n" * 2}, 8), "objects", 8, 9,
    ),
    "conll: a comment": (case({"t.conll": "# id = 1\n" + CONLL}, 8), "tags", 8, 16),
}  # fmt: skip
#: Nothing in their files has a name or a key: lines, words, pixels, files of a folder.
NAMELESS = {"conll", "folders", "idx", "lines", "parallel", "python-reference", "text"}
#: What others read.
OTHERS = {"catalogue"}


def entries(name: str, found: Case) -> list[Any]:
    packed(Path(), found.form, found.files)
    source = Source.from_dict({"name": name, **found.fields})
    return [entry for split in source.splits() for entry in source.read(split)]


def test_every_source_is_looked_at() -> None:
    assert set(registry.names("sources")) == TWICE.keys() | NAMELESS | OTHERS
    assert not TWICE.keys() & (NAMELESS | OTHERS)


@pytest.mark.parametrize(
    ("name", "what"), [(name, what) for name, cases in TWICE.items() for what in cases]
)
def test_what_stands_twice_is_refused_by_both_its_places(name: str, what: str) -> None:
    found, places = TWICE[name][what]
    if not found.apart:
        with pytest.raises(DataError) as refused:
            entries(name, found)
        assert places in str(refused.value)
        assert "data/" in str(refused.value.where)
        return
    read = entries(name, found)
    apart = [entry.error.line() for entry in read if isinstance(entry, SetApart)]
    assert (len(read), len(apart)) == (found.rows, found.apart)
    assert all(places in line for line in apart), apart


@pytest.mark.parametrize("what", UNION)
def test_what_stands_twice_and_is_kept_is_kept_whole(what: str) -> None:
    found, field, records, parts = UNION[what]
    read = entries(what.partition(":")[0], found)
    assert len(read) == records
    assert sum(len(record[field]) for record in read) == parts
