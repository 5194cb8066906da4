"""Files of every source, clean or with a damage, and how many records they hold."""

from __future__ import annotations

import gzip
import io
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow
from pyarrow import parquet

from luban.data.media.images import to_png

Files = dict[str, bytes | str]
#: A picture that is no other.
PNG = [to_png(np.full((20, 20, 3), shade, np.uint8)) for shade in range(8)]
N = range(8)


class Case(NamedTuple):
    """Files and what they hold.

    Attributes:
        fields: Of the source.
        rows: Records in the files.
        apart: Those that cannot be used.
        files: Written below ``data`` before.
        form: A folder, or how they are packed.
    """

    fields: Mapping[str, Any]
    rows: int
    apart: int = 0
    files: Mapping[str, bytes | str] = {}
    form: str = "folder"


def case(files: Mapping[str, bytes | str], rows: int, apart: int = 0, /, **fields: Any) -> Case:
    return Case({"path": "data", **fields}, rows, apart, files)


def studio(*annotations: list[dict[str, Any]], **data: str) -> dict[str, Any]:
    """A task of Label Studio, with the marks of each annotator."""
    notes = [{"id": number, "result": marks} for number, marks in enumerate(annotations)]
    return {"id": 1, "data": data, "annotations": notes}


def mark(start: int, end: int, said: str, kind: str = "labels") -> dict[str, Any]:
    return {"type": kind, "value": {"start": start, "end": end, "text": said, kind: ["PER"]}}


_ADA = mark(0, 3, "Ada")
STUDIO = [
    studio([_ADA], text="Ada ran"),
    studio([mark(3, 6, "Ada")], text="\U0001f600 Ada"),  # places are in units of UTF-16
    studio(text="nobody said anything"),
    studio([_ADA], [mark(4, 7, "ran")], text="Ada ran"),  # two annotators differ
    studio([mark(1, 4, "Ada")], text="Ada ran"),  # not where it is said to be
    studio([mark(0, 3, "Ada", "rectanglelabels")], text="Ada ran"),
    studio([_ADA], text="Ada ran", entities="given"),
]


def wav(samples: int = 80) -> bytes:
    data = np.arange(samples, dtype="<i2").tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1,
                       8000, 16000, 2, 16, b"data", len(data))  # fmt: skip
    return head + data


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def idx(array: Any) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + bytes(array.astype(np.uint8))
    )


def parquet_of(rows: Sequence[Mapping[str, Any]]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), file, row_group_size=3)
    return file.getvalue()


def jsonl(rows: Sequence[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def xml(name: str, box: str = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>") -> str:
    return (
        f"<annotation><filename>{name}</filename><size><width>20</width><height>20</height></size>"
        f"<object><name>x</name><bndbox>{box}</bndbox></object></annotation>"
    )


def coco(shown: Sequence[int], boxes: Sequence[int], **more: Any) -> str:
    table = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in shown],
        "annotations": [
            {"id": k, "image_id": n, "category_id": 1, "bbox": [1, 1, 5, 5]}
            for k, n in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "x"}],
    }
    return json.dumps({part: rows + more.get(part, []) for part, rows in table.items()})


PICTURES: Files = {f"{n}.png": PNG[n] for n in N}
CLASSES: Files = {f"{'ab'[n % 2]}/{n}.png": PNG[n] for n in N}
SOUNDS: Files = {f"{n}.wav": wav(n + 80) for n in N}
VOC: Files = {
    **{f"JPEGImages/{n}.png": PNG[n] for n in N},
    **{f"Annotations/{n}.xml": xml(f"{n}.png") for n in N},
}
YOLO: Files = {
    **{f"images/{n}.png": PNG[n] for n in N},
    **{f"labels/{n}.txt": "0 .5 .5 .2 .2\n" for n in N},
    "data.yaml": "names: [x]\n",
}
TABLE = [{"text": f"text {n}", "label": "ab"[n % 2]} for n in N]
CSV = "text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in N)
CONLL = "".join(f"a\tO\nb{n}\tB-x\n\n" for n in N)
SQUAD = [{"context": f"a fox {n}", "qas": [{"question": "q", "id": f"{n}", "answers":
          [{"text": "fox", "answer_start": 2}]}]} for n in N]  # fmt: skip
LINES = "".join(f"{n % 2} text {n}\n" for n in N)
LISTED = "".join(f"{n} said {n}\n" for n in N)
IMAGE_ROWS = [{"image": f"{n}.png", "label": "ab"[n % 2]} for n in N]
META = "file_name,label\n" + "".join(f"{n}.png,{'ab'[n % 2]}\n" for n in N)
PICKED = {"media": {"image": "data"}}


def without(files: Mapping[str, bytes | str], *names: str) -> Files:
    return {name: content for name, content in files.items() if name not in names}


def squad(*more: Any) -> Files:
    return {"t.json": json.dumps([*SQUAD, *more])}


def question(**fields: Any) -> Any:
    return {"context": "a fox", "qas": [{"question": "q", "id": "z", **fields}]}


CASES: dict[str, dict[str, Case]] = {
    "arrays": {
        "npz": case({"t.npz": npz(x=np.zeros((8, 4, 4)), y=np.arange(8))}, 8, path="data/t.npz"),
        "splits": case({"t.npz": npz(x_train=np.zeros((8, 4)), y_train=np.arange(8),
                        x_test=np.zeros((3, 4)), y_test=np.arange(3))}, 11,
                       path="data/t.npz"),
        "npy": case({"x.npy": npy(np.zeros((8, 4), order="F")), "y.npy": npy(np.arange(8))}, 8,
                    path={"image": "data/x.npy", "label": "data/y.npy"}),
    },
    "catalogue": {},
    "coco": {
        "clean": case({**PICTURES, "t.json": coco(N, [0, 0, 3])}, 8, path="data/t.json"),
        "lost image": case({**without(PICTURES, "3.png"), "t.json": coco(N, N)}, 8, 1,
                           path="data/t.json"),
        "no such category": case({**PICTURES, "t.json": coco(N, N, annotations=[
            {"id": 99, "image_id": 2, "category_id": 7, "bbox": [1, 1, 5, 5]}])}, 8, 1,
            path="data/t.json"),
        "no box": case({**PICTURES, "t.json": coco(N, N, annotations=[
            {"id": 99, "image_id": 2, "category_id": 1}])}, 8, 1, path="data/t.json"),
        "no name": case({**PICTURES, "t.json": coco(N, N, images=[{"id": 99}])}, 9, 1,
                        path="data/t.json"),
    },
    "conll": {
        "clean": case({"t.conll": CONLL}, 8),
        "malformed": case({"t.conll": CONLL.replace("b3\tB-x", "b3")}, 8, 1),
        "last without end": case({"t.conll": CONLL.rstrip("\n")}, 8),
    },
    "csv": {
        "clean": case({"t.csv": CSV}, 8),
        "gzip": case({"t.csv.gz": gzip.compress(CSV.encode())}, 8),
        "short row": case({"t.csv": CSV.replace("3,b", "3")}, 8, 1),
        "header again": case({"t.csv": CSV + CSV}, 17, 1),
        "stray quote": case({"t.csv": CSV.replace("text 3", '"text 3')}, 8, 1),
        "media": case({**PICTURES, "t.csv": "image\n" + "".join(f"{n}.png\n" for n in N)}, 8,
                      media={"image": "data"}),
        "lost file": case({**without(PICTURES, "2.png"), "t.csv": "image\n"
                           + "".join(f"{n}.png\n" for n in N)}, 8, 1, media={"image": "data"}),
        "no name": case({**PICTURES, "t.csv": "image,x\n" + "".join(
            f"{n}.png,1\n" for n in N) + ",1\n"}, 9, 1, media={"image": "data"}),
    },
    "files": {
        **{f"classes in {form}": Case({"path": f"data{'.' * (form != 'folder')}"
                                       f"{form if form != 'folder' else ''}"}, 8, 0, CLASSES, form)
           for form in ("folder", "tar", "tar.gz", "zip")},
        "splits": case({**{f"train/{k}": v for k, v in CLASSES.items()},
                        **{f"test/{k}": v for k, v in CLASSES.items()}}, 16),
        "files beside": case({**CLASSES, "a/notes.doc": "x", "Thumbs.db": "x"}, 8),
        "metadata": case({**PICTURES, "metadata.csv": META}, 8),
        "metadata of lost file": case({**without(PICTURES, "2.png"), "metadata.csv": META}, 8, 1),
        "metadata twice": case({**PICTURES, "metadata.csv": META + "2.png,b\n"}, 9, 2),
        "metadata malformed": case({**PICTURES, "metadata.csv": META + "2.png\n,a\n"}, 10, 2),
        "metadata with a stray quote": case(
            {**PICTURES, "metadata.csv": META.replace("3.png", '"3.png')}, 8, 1),
        "metadata in lines": case({**PICTURES, "metadata.jsonl": jsonl(
            [{"file_name": f"{n}.png", "label": 1} for n in N]) + "{\n[]\n"}, 10, 2),
        "metadata below a split": case({
            **{f"d/train/a/{n}.png": PNG[n] for n in N}, "metadata.csv": "file_name,label\n"
            "d/train/a/0.png,x\nd/train/a/1.png,x\nz.png,x\n"}, 3, 1),
        "webdataset": Case({"path": "data.tar"}, 8, 0, {
            name: content for n in N
            for name, content in ((f"{n}.png", PNG[n]), (f"{n}.cls", "1"))}, "tar"),
        "webdataset without label": Case({"path": "data.tar"}, 8, 1, {
            name: content for n in N for name, content in ((f"{n}.png", PNG[n]), (f"{n}.cls", "1"))
            if name != "3.cls"}, "tar"),
        "webdataset without image": Case({"path": "data.tar"}, 8, 1, {
            name: content for n in N
            for name, content in ((f"{n}.png", PNG[n]), (f"{n}.json", "{}")) if name != "3.png"},
            "tar"),
        "webdataset malformed": Case({"path": "data.tar"}, 8, 1, {
            name: content for n in N
            for name, content in ((f"{n}.png", PNG[n]), (f"{n}.json", "{" if n == 3 else "{}"))},
            "tar"),
        "transcripts": case({**SOUNDS, "all.trans.txt": LISTED}, 8),
        "transcript twice": case({**SOUNDS, "all.trans.txt": LISTED + "3 other words\n"}, 8, 1),
        "transcript again": case({**SOUNDS, "all.trans.txt": LISTED + "3 said 3\n"}, 8),
        "transcript in two files": case(
            {**SOUNDS, "all.trans.txt": LISTED, "more.trans.txt": "3 other words\n"}, 8, 1),
        "transcript of no recording": case({**SOUNDS, "a.trans.txt": LISTED + "9 x\n9\n"}, 10, 2),
        "transcripts elsewhere": case(
            {**{f"wav/{k}": v for k, v in SOUNDS.items()}, "text/all.txt": LISTED + "9 x\n"}, 9, 1),
        "recording without transcript": case(
            {**SOUNDS, "all.trans.txt": LISTED.replace("3 said 3\n", "")}, 8, 1),
        "text beside": case({**SOUNDS, **{f"{n}.txt": f"said {n}" for n in N}}, 8),
        "text beside nothing": case({**SOUNDS, **{f"{n}.txt": f"said {n}" for n in range(9)}}, 9,
                                    1),
        "lists": case({**{f"a/{k}": v for k, v in SOUNDS.items()}, "testing_list.txt":
                       "a/0.wav\na/1.wav\na/gone.wav\n\na/lost.wav\n"}, 10, 2),
        "manifest": case({**SOUNDS, "metadata.jsonl": jsonl(
            [{"file_name": "0.wav", "offset": k / 1000, "duration": 0.001, "text": "x"}
             for k in range(5)] + [{"file_name": "1.wav", "offset": -1, "duration": 1}])}, 6, 1),
    },
    "folders": {
        "clean": case({f"{'ab'[n % 2]}/{n}.txt": f"text {n}" for n in N}, 8),
        "empty": case({f"{'ab'[n % 2]}/{n}.txt": f"text {n}" * (n != 3) for n in N}, 8, 1),
        "not UTF-8": case({f"{'ab'[n % 2]}/{n}.txt": b"text \xff" if n == 3 else "x" for n in N},
                          8, 1),
        "other files": case({**{f"{'ab'[n % 2]}/{n}.txt": f"text {n}" for n in N}, "a/x.doc": "x"},
                            8),
    },
    "idx": {
        "clean": case({"x": idx(np.zeros((8, 4, 4))), "y": idx(np.arange(8))}, 8,
                      path={"image": "data/x", "label": "data/y"}),
        "gzip": case({"x": gzip.compress(idx(np.zeros((8, 4, 4)))), "y": idx(np.arange(8))}, 8,
                     path={"image": "data/x", "label": "data/y"}),
    },
    "json": {
        "clean": case({"t.json": json.dumps(TABLE)}, 8),
        "no table": case({"t.json": json.dumps([*TABLE, 3, None])}, 10, 2),
        "Label Studio": case({"t.json": json.dumps(STUDIO)}, 7, 4),
        "spaCy": case({"t.json": json.dumps([["Ada ran", {"entities": [[0, 3, "PER"]]}]] * 5)}, 5),
        "media": case({**PICTURES, "t.json": json.dumps(
            [*IMAGE_ROWS, {"image": None}, {"image": "gone.png"}, {"image": 3}, {"label": "a"}])},
            12, 4, **PICKED),
    },
    "jsonl": {
        "clean": case({"t.jsonl": jsonl(TABLE)}, 8),
        "malformed": case({"t.jsonl": jsonl(TABLE) + "{\n3\n"}, 10, 2),
        "other files": case({"t.jsonl": jsonl(TABLE), "u.ndj": "x"}, 8),
        "media": case({**PICTURES, "t.jsonl": jsonl([*IMAGE_ROWS, {"image": None}])}, 9, 1,
                      **PICKED),
        "manifest": case({**SOUNDS, "t.jsonl": jsonl(
            [{"audio": "0.wav", "offset": 0.001, "duration": 0.002},
             {"audio": "0.wav", "offset": "x", "duration": 0.002}])}, 2, 1,
            media={"audio": "data"}),
    },
    "lines": {
        "clean": case({"t.txt": LINES}, 8, pattern=r"(?P<label>\d) (?P<text>.*)"),
        "malformed": case({"t.txt": LINES + "x y\n"}, 9, 1,
                          pattern=r"(?P<label>\d) (?P<text>.*)"),
    },
    "parallel": {
        "clean": case({"a": "x\n" * 8, "b": "y\n" * 8}, 8,
                      path={"source": "data/a", "target": "data/b"}),
    },
    "parquet": {
        "clean": case({"t.parquet": parquet_of(TABLE)}, 8),
        "media": case({**PICTURES, "t.parquet": parquet_of([*IMAGE_ROWS, {"image": "gone.png"},
                       {"image": None}])}, 10, 2, **PICKED),
    },
    "python-reference": {},
    "squad": {
        "clean": case(squad(), 8),
        "answer that is not there": case(squad(question(answers=["dog"])), 9, 1),
        "no question": case(squad({"context": "a fox", "qas": [{"id": "z", "answers": ["fox"]}]}),
                            9, 1),
        "no answers": case(squad(question()), 9),
    },
    "text": {
        "files": case({f"{n}.txt": f"text {n}" for n in N}, 8),
        "empty file": case({f"{n}.txt": f"text {n}" * (n != 3) for n in N}, 8, 1),
        "lines": case({"t.txt": "a\n\nb\r\nc\u2028d\x0c\n"}, 3, document="line"),
        "paragraphs": case({"t.txt": "a\nb\n\nc\n\n\nd"}, 3, document="paragraph"),
        "other files": case({**{f"{n}.txt": f"text {n}" for n in N}, "x.doc": "x"}, 8),
    },
    "voc": {
        "clean": case(VOC, 8),
        "lost image": case(without(VOC, "JPEGImages/3.png"), 8, 1),
        "malformed": case({**VOC, "Annotations/3.xml": "<annotation>"}, 8, 1),
        "box without numbers": case({**VOC, "Annotations/3.xml": xml("3.png", "<xmin>a</xmin>")},
                                    8, 1),
        "sets": case({**VOC, "ImageSets/Main/train.txt": "0\n1\n2\ngone\n",
                      "ImageSets/Main/test.txt": "3\n4\n5\n6\n7\nlost 1\n"}, 10, 2),
        "tar": Case({"path": "data.tar"}, 8, 1, without(VOC, "JPEGImages/3.png"), "tar"),
        "zip": Case({"path": "data.zip"}, 8, 0, VOC, "zip"),
    },
    "yolo": {
        "clean": case(YOLO, 8),
        "no object": case(without(YOLO, "labels/3.txt"), 8),
        "lost image": case(without(YOLO, "images/3.png"), 8, 1),
        "malformed": case({**YOLO, "labels/3.txt": "0 .5 .5\n"}, 8, 1),
        "unknown class": case({**YOLO, "labels/3.txt": "4 .5 .5 .2 .2\n"}, 8, 1),
        "damaged image": case({**YOLO, "images/3.png": b"png"}, 8, 1),
        "lists": case({**YOLO, "data.yaml": "names: [x]\ntrain: train.txt\nval: val.txt\n",
                       "train.txt": "images/0.png\nimages/1.png\nimages/gone.png\n",
                       "val.txt": "".join(f"images/{n}.png\n" for n in range(2, 8))}, 9, 1),
        "zip": Case({"path": "data.zip"}, 8, 1, without(YOLO, "images/3.png"), "zip"),
    },
}  # fmt: skip
#: Files that are refused as a whole, as it cannot be told what their records are.
REFUSED: dict[str, tuple[str, Case]] = {
    "arrays of two lengths": ("arrays", case({"t.npz": npz(x=np.zeros((8, 4)), y=np.arange(7))}, 0,
                              path="data/t.npz")),
    "two arrays of labels": ("arrays", case({"t.npz": npz(x=np.zeros((8, 4)), y=np.arange(8),
                             labels=np.arange(8))}, 0, path="data/t.npz")),
    "an array that goes on": ("arrays", case({"x.npy": npy(np.zeros((8, 4))) + b"1"}, 0,
                              path="data/x.npy")),
    "an array that ends early": ("arrays", case({"x.npy": npy(np.zeros((8, 4)))[:-1]}, 0,
                                 path="data/x.npy")),
    "idx of two lengths": ("idx", case({"x": idx(np.zeros((8, 4))), "y": idx(np.arange(7))}, 0,
                           path={"image": "data/x", "label": "data/y"})),
    "idx that ends early": ("idx", case({"x": idx(np.zeros((8, 4)))[:-1]}, 0,
                            path={"image": "data/x"})),
    "an image id twice": ("coco", case({**PICTURES, "t.json": coco(N, N, images=[
        {"id": 2, "file_name": "9.png"}])}, 0, path="data/t.json")),
    "a box of no image": ("coco", case({**PICTURES, "t.json": coco(N, [99])}, 0,
                          path="data/t.json")),
    "parallel of two lengths": ("parallel", case({"a": "x\n" * 8, "b": "y\n" * 7}, 0,
                                path={"source": "data/a", "target": "data/b"})),
    "an entry twice": ("voc", case({**VOC, "ImageSets/Main/train.txt": "0\n1\n0\n"}, 0)),
    "a split told twice": ("files", case({**{f"a/{k}": v for k, v in SOUNDS.items()},
                           "testing_list.txt": "a/0.wav\n", "validation_list.txt": "a/0.wav\n"},
                           0)),
    "a column twice": ("files", case({**PICTURES, "metadata.csv":
                       "file_name,label,label\n1.png,a,b\n"}, 0)),
}  # fmt: skip
#: Sources whose cases are no files written here.
APART = {"catalogue", "python-reference"}
