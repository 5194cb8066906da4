"""A small valid file of every format, and how a recipe names the data that it belongs to."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import soundfile
from PIL import Image

from tests.data.media_files import png, tar, write, zipped

ROWS = [{"id": n, "text": f"some text {n}, said", "label": "ab"[n % 2]} for n in range(12)]
_TABLE = "id{0}text{0}label\n" + "".join(
    f'{row["id"]}{{0}}"{row["text"]}"{{0}}{row["label"]}\n' for row in ROWS
)
_XML = (
    "<annotation><size><width>6</width><height>4</height><depth>3</depth></size><object>"
    "<name>a</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"
    "</object></annotation>"
)


@dataclass(frozen=True, slots=True)
class Case:
    """A format: the files of its data, which of them is damaged, and the source that reads them."""

    name: str
    files: dict[str, bytes]
    damaged: str
    source: dict[str, Any]


def _picture(form: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(file, form)
    return file.getvalue()


def _sound(form: str) -> bytes:
    file = io.BytesIO()
    tone = 0.3 * np.sin(np.arange(800) / 5)
    soundfile.write(file, tone, 8000, format=form)
    return file.getvalue()


def _parquet() -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), file, row_group_size=5)
    return file.getvalue()


def _arrays() -> bytes:
    file = io.BytesIO()
    pixels = np.arange(4 * 6 * 5, dtype=np.uint8).reshape(4, 6, 5)
    np.savez(file, images=pixels, labels=np.array([0, 1, 0, 1]))
    return file.getvalue()


def _archive(folder: Path, kind: str) -> bytes:
    files: dict[str, bytes | str] = {
        f"{label}/{n}.png": png(40 * n) for label in "ab" for n in range(3)
    }
    path = folder / f"made.{kind}"
    return (
        zipped(path, files) if kind == "zip" else tar(path, files, f"w:{kind[4:]}")
    ).read_bytes()


def cases(folder: Path) -> list[Case]:
    """Return a case of every format; archives are made in a folder."""
    lines = "\n".join(json.dumps(row) for row in ROWS).encode()
    squad = {
        "context": "The fox is here.",
        "qas": [{"id": "1", "question": "Who?", "answers": [{"text": "fox", "answer_start": 4}]}],
    }
    coco = {
        "images": [{"id": 1, "file_name": "x.png", "width": 6, "height": 4}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 1, 2, 3]}],
        "categories": [{"id": 3, "name": "a"}],
    }
    idx = b"\0\0\x08\x03" + np.array([6, 4, 5], ">u4").tobytes() + bytes(range(120))
    alone = {
        "a.csv": ("csv", _TABLE.format(",").encode()),
        "a.tsv": ("csv", _TABLE.format("\t").encode()),
        "a.csv.gz": ("csv", gzip.compress(_TABLE.format(",").encode())),
        "a.json": ("json", json.dumps(ROWS).encode()),
        "a.jsonl": ("jsonl", lines),
        "a.jsonl.gz": ("jsonl", gzip.compress(lines)),
        "a.parquet": ("parquet", _parquet()),
        "a.txt": ("text", "To be, or not.\n\n床前明月光\n".encode() * 4),
        "a.conll": ("conll", b"The O\nfox B-x\nis O\n\nHere O\n" * 3),
        "a.npz": ("arrays", _arrays()),
        "squad.json": ("squad", json.dumps({"data": [{"paragraphs": [squad]}]}).encode()),
    }
    found = [
        Case(name, {name: data}, name, {"name": source, "path": name})
        for name, (source, data) in alone.items()
    ]
    found.append(Case("idx", {"a.idx": idx}, "a.idx", {"name": "idx", "path": {"image": "a.idx"}}))
    for name, data in {
        "x.png": _picture("PNG"),
        "grey.png": _picture("PNG", "L"),
        "x.jpg": _picture("JPEG"),
        "x.tiff": _picture("TIFF"),
        "x.gif": _picture("GIF"),
        "x.webp": _picture("WEBP"),
        "x.bmp": _picture("BMP"),
        "x.wav": _sound("WAV"),
        "x.flac": _sound("FLAC"),
        "x.ogg": _sound("OGG"),
    }.items():
        other = f"b/other{Path(name).suffix}"
        found.append(
            Case(
                name,
                {f"set/a/{name}": data, f"set/{other}": data},
                f"set/a/{name}",
                {"name": "folders", "path": "set"},
            )
        )
    for kind in ("tar", "tar.gz", "zip"):
        name = f"set.{kind}"
        data = _archive(folder, kind)
        found.append(Case(name, {name: data}, name, {"name": "files", "path": name}))
    picture = _picture("PNG")
    boxes = {"set/images/x.png": picture, "set/labels/x.txt": b"0 0.5 0.5 0.5 0.5\n" * 3}
    table = {"coco.json": json.dumps(coco).encode(), "set/x.png": picture}
    marked = {"set/x.png": picture, "set/x.xml": _XML.encode()}
    yaml = b"path: .\ntrain: images\nval: images\nnames: [a, b]\n"
    both = {"l.en": b"one\ntwo\nthree\n", "l.zh": "一\n二\n三\n".encode()}
    sides = {"source": "l.en", "target": "l.zh"}
    return [
        *found,
        Case("coco", table, "coco.json", {"name": "coco", "path": "coco.json", "images": "set"}),
        Case("voc", marked, "set/x.xml", {"name": "voc", "path": "set"}),
        Case("yolo", boxes, "set/labels/x.txt", {"name": "yolo", "path": "set", "names": ["a"]}),
        Case("yolo.yaml", {**boxes, "set/data.yaml": yaml}, "set/data.yaml",
             {"name": "yolo", "path": "set"}),
        Case("parallel", both, "l.zh", {"name": "parallel", "path": sides}),
    ]  # fmt: skip


def put(case: Case, damaged: bytes | None = None) -> None:
    """Write the files of a case into the working directory."""
    write(Path(), {**case.files, **({case.damaged: damaged} if damaged is not None else {})})
