"""Every source: what is read and what is set apart are all that its files hold, by a count apart.

Each case writes files, clean or with a damage, and tells how many records they hold and how many
of these cannot be used; the source has to come to the same numbers, and to say where and why.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from luban.core import registry
from luban.core.contracts import Record, SetApart, Source
from luban.core.errors import DataError
from luban.data.files import download
from luban.data.files.download import Entry
from luban.testing import check_source
from tests.cases.rows_of_sources import (
    APART,
    CASES,
    CLASSES,
    PICTURES,
    REFUSED,
    TABLE,
    VOC,
    YOLO,
    Case,
    coco,
    jsonl,
    npz,
)
from tests.data.media_files import packed, write

pytestmark = pytest.mark.usefixtures("here")


def made(name: str, found: Case) -> Source:
    """Write the files of a case, and return the source that reads them."""
    packed(Path(), found.form, found.files)
    return Source.from_dict({"name": name, **found.fields})


def everything(source: Source) -> list[Record]:
    """Return the entries of all splits."""
    return [entry for split in source.splits() for entry in source.read(split)]


def test_every_source_has_cases() -> None:
    assert set(registry.names("sources")) == CASES.keys()
    assert {name for name, found in CASES.items() if not found} == APART


@pytest.mark.parametrize(
    ("name", "what"), [(name, what) for name, found in CASES.items() for what in found]
)
def test_all_records_are_read_or_set_apart(name: str, what: str) -> None:
    found = CASES[name][what]
    source = made(name, found)
    check_source(source, rows=found.rows)
    entries = everything(source)
    assert sum(isinstance(entry, SetApart) for entry in entries) == found.apart
    assert "None" not in "".join(e.error.line() for e in entries if isinstance(e, SetApart))


@pytest.mark.parametrize("what", REFUSED)
def test_files_that_contradict_themselves_are_refused(what: str) -> None:
    source = made(*REFUSED[what])
    with pytest.raises(DataError) as error:
        everything(source)
    assert "data" in str(error.value.where)


@pytest.mark.parametrize(
    ("name", "what", "said"),
    [
        ("files", "files beside", "1 .db, 1 .doc"),
        ("folders", "other files", "1 .doc (data/a/x.doc)"),
        ("text", "other files", "1 .doc (data/x.doc)"),
        ("jsonl", "other files", "1 .ndj (data/u.ndj)"),
    ],
)
def test_files_that_are_passed_over_are_told(name: str, what: str, said: str) -> None:
    assert said in made(name, CASES[name][what]).facts()["skipped files"]


def test_images_and_arrays_that_are_passed_over_are_told() -> None:
    write(Path("data"), {**PICTURES, "t.json": coco([0, 1], [0])})
    found = Source.from_dict({"name": "coco", "path": "data/t.json"})
    assert found.facts()["left out"] == "6 images that are not listed (2.png …)"
    write(Path("data"), {"t.npz": npz(x=np.zeros((8, 4)), y=np.arange(8), ids=np.arange(8))})
    found = Source.from_dict({"name": "arrays", "path": "data/t.npz"})
    assert found.facts()["left out"] == "1 arrays (data/t.npz: ids …)"


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_an_archive_that_is_damaged_or_holds_a_name_twice(form: str) -> None:
    path = packed(Path(), form, CLASSES)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(DataError, match="damaged"):
        list(Source.from_dict({"name": "files", "path": str(path)}).read("train"))


def test_a_damaged_header_within_a_tar_does_not_end_it() -> None:
    path = packed(Path(), "tar", CLASSES)
    data = bytearray(path.read_bytes())
    data[3 * 1024 + 2] ^= 255  # a header and the one block of a small picture are 1,024 bytes
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        list(Source.from_dict({"name": "files", "path": str(path)}).read("train"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["files", "voc", "yolo"])
def test_a_name_twice_in_an_archive(name: str) -> None:
    files = {"files": CLASSES, "voc": VOC, "yolo": YOLO}[name]
    with zipfile.ZipFile(packed(Path(), "zip", files), "a") as archive:
        first = next(iter(files))
        archive.writestr(first, files[first])
    with pytest.raises(DataError, match=f"{first} stands 2 times"):
        list(Source.from_dict({"name": name, "path": "data.zip"}).read("train"))


def test_topics_of_the_python_reference() -> None:
    import pydoc_data.topics

    check_source(Source.from_dict({"name": "python-reference"}), rows=len(pydoc_data.topics.topics))


def test_a_set_of_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    file = {"name": "a.jsonl", "url": "https://example.org/a.jsonl", "sha256": "0" * 64}
    entry = {"title": "T", "licence": "L", "address": "A", "read": {"name": "jsonl"}}
    known = {"thousand": Entry.from_dict({**entry, "files": [file]})}
    monkeypatch.setattr(download, "catalogue", lambda: known)
    monkeypatch.setenv("LUBAN_DATA", "sets")
    write(Path("sets/thousand"), {"a.jsonl": jsonl(TABLE) + "{\n"})
    fields = {"name": "catalogue", "dataset": "thousand", "verify": False}
    check_source(Source.from_dict(fields), rows=9)
