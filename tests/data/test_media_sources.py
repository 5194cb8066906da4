"""Images and recordings from folders, archives, arrays and tables."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luban.core.contracts import SetApart
from luban.core.errors import DataError, RecipeError
from luban.data.files.archives import Tree, members
from luban.data.media.images import decode
from luban.data.media.media_files import media_in
from tests.data.media_files import FORMS, apart, content, packed, png, rows, source, tar, write

PHOTOS: dict[str, bytes | str] = {
    "pets/train/cat/1.png": png(1),
    "pets/train/cat/2.PNG": png(2),
    "pets/train/dog/1.png": png(3),
    "pets/valid/dog/2.png": png(4),
    "pets/README.md": "about",
    "pets/train/.hidden/3.png": b"",
    "__MACOSX/._1.png": b"",
}


@pytest.mark.parametrize("form", FORMS)
def test_classes_and_splits_by_folder(form: str, tmp_path: Path) -> None:
    path = packed(tmp_path, form, PHOTOS)
    found = source("files", str(path))
    assert found.splits() == ("train", "validation")
    train = rows(found)
    assert [record["label"] for record in train] == ["cat", "cat", "dog"]
    assert [content(record) for record in train] == [png(1), png(2), png(3)]
    assert train[0]["_where"] == f"{path}/pets/train/cat/1.png:1"
    assert [content(record) for record in rows(found, "validation")] == [png(4)]
    assert found.facts()["skipped files"].startswith("1 .md")
    assert len(found.files()) == (4 if form == "folder" else 1)


def test_a_plain_tar_is_not_held_in_memory(tmp_path: Path) -> None:
    found = rows(source("files", str(tar(tmp_path / "a.tar", PHOTOS))))
    assert {record["image"].source for record in found} == {tmp_path / "a.tar"}
    assert all(record["image"].offset > 0 for record in found)


def test_splits_by_path_and_archives_in_a_folder(tmp_path: Path) -> None:
    train = {f"train/{label}/{i}.png": png(i) for label in "ab" for i in range(2)}
    tar(tmp_path / "train.tar.gz", train, "w:gz")
    tar(tmp_path / "test.tar.gz", {k.replace("train", "test"): v for k, v in train.items()}, "w:gz")
    table = {split: str(tmp_path / f"{split}.tar.gz") for split in ("train", "test")}
    for found in (source("files", table), source("files", str(tmp_path))):
        assert found.splits() == ("train", "test")
        for split in found.splits():
            assert [r["label"] for r in rows(found, split)] == ["a", "a", "b", "b"]
    alone = source("files", table["test"])  # no train: then all is train
    assert (alone.splits(), len(rows(alone))) == (("train",), 4)


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_what_names_tell(form: str, tmp_path: Path) -> None:
    files = {f"wavs/{digit}_theo_{take}.wav": b"RIFF" for digit in (0, 1) for take in (3, 4)}
    path = packed(tmp_path, form, files)
    found = source(
        "files",
        str(path),
        pattern="{digit}_{speaker}_{take}.wav",
        fields={"text": "digit"},
        values={"text": {0: "zero", 1: "one"}},
    )
    first = rows(found)[0]
    told = {name: first[name] for name in ("digit", "speaker", "take", "text")}
    assert told == {"digit": "0", "speaker": "theo", "take": "3", "text": "zero"}
    assert "label" not in first
    errors = apart(found.replace(pattern="{digit}-{speaker}.wav"))
    assert all("does not fit" in error.what for error in errors)
    assert "0_theo_3.wav" in str(errors[0])
    folders = source("files", str(path), pattern="{set}/{digit}_{rest}.wav")
    assert rows(folders)[0]["set"] == "wavs"


@pytest.mark.parametrize("pattern", ["plain.wav", "{a}_{a}.wav", "{_where}.wav"])
def test_patterns_that_name_nothing(pattern: str) -> None:
    with pytest.raises(RecipeError, match="pattern"):
        source("files", "x", pattern=pattern)


@pytest.mark.parametrize("form", FORMS)
def test_transcripts_beside_recordings(form: str, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "a/1.wav": b"RIFF",
        "a/1.txt": "to be\n",
        "b/2.flac": b"fLaC",
        "b/2.txt": "或不",
        "n.txt": "x",
    }
    found = source("files", str(packed(tmp_path, form, files)))
    assert [record["text"] for record in rows(found)] == ["to be", "或不"]
    assert "1 .txt" in found.facts()["skipped files"]


@pytest.mark.parametrize("form", FORMS)
def test_transcripts_in_one_file_beside_recordings(form: str, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "84/1/84-1-0.flac": b"fLaC",
        "84/1/84-1-1.flac": b"fLaC",
        "84/1/84-1.trans.txt": "84-1-0 TO BE\n84-1-1 OR  NOT\n84-1-2 GONE\n84-1-3\n",
        "26/1/84-1-1.flac": b"fLaC",
        "26/1/84-1-1.txt": "84-1-1 is not a name here",
        "26/notes.txt": "84-1-1 nothing of this name lies beside",
        "26/odd.txt": b"\xff\xfe",
    }
    found = source("files", str(packed(tmp_path, form, files)))
    good = [record for record in rows(found) if not isinstance(record, SetApart)]
    said = sorted(record["text"] for record in good)
    assert said == ["84-1-1 is not a name here", "OR  NOT", "TO BE"]
    wrong = [f"{error.where}".rpartition("/")[2] for error in apart(found)]
    assert wrong == ["84-1.trans.txt:3", "84-1.trans.txt:4"]
    assert "2 .txt" in found.facts()["skipped files"]
    if form == "folder":
        assert "84-1.trans.txt" in {path.name for path in found.files()}


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("metadata.csv", "file_name,text\n1.png,one\nsub/2.png,\"two, or so\"\n"),
        ("metadata.jsonl", '{"file_name": "1.png", "text": "one"}\n'
         '{"file_name": "sub/2.png", "text": "two, or so"}\n'),
    ],
)  # fmt: skip
def test_metadata_as_hugging_face_has_them(name: str, table: str, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "1.png": png(1),
        "sub/2.png": png(2),
        "3.png": png(3),
        name: table,
    }
    found = source("files", str(write(tmp_path, files)))
    assert [record["text"] for record in rows(found)] == ["one", "two, or so"]
    assert "1 not in the metadata" in found.facts()["skipped files"]
    (tmp_path / "1.png").unlink()
    (error,) = apart(source("files", str(tmp_path)))
    assert "names a file that is not there" in error.what


@pytest.mark.parametrize("form", FORMS)
def test_what_lies_beside_a_file_as_webdataset_has_it(form: str, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "0.png": png(0),
        "0.cls": "1\n",
        "1.png": png(1),
        "1.cls": "0",
        "1.json": '{"label": "cat", "image": "1.png", "size": 3}',
        "2.png": png(2),
        "2.json": "[1]",
        "3.json": "{}",
    }
    found = source("files", str(packed(tmp_path, form, files)), values={"label": {"1": "dog"}})
    first, second, *_ = source("files", found.path).read("train")  # type: ignore[attr-defined]
    assert (first["label"], second["label"], second["size"]) == ("1", "cat", 3)
    assert content(second) == png(1)
    said = [error.what for error in apart(source("files", found.path))]  # type: ignore[attr-defined]
    assert ["no table" in said[0], "no image and no recording" in said[1]] == [True, True]
    assert next(iter(found.read("train")))["label"] == "dog"


@pytest.mark.parametrize("name", ["0.cls", "0.json"])
def test_what_lies_beside_a_file_and_is_damaged(name: str, tmp_path: Path) -> None:
    write(tmp_path / "data", {"0.png": png(0), name: b"\xff{"})
    (error,) = apart(source("files", str(tmp_path / "data")))
    assert "this file is damaged" in error.what
    assert name in str(error)


def test_globs(tmp_path: Path) -> None:
    write(tmp_path, {f"{label}/{i}.png": png(i) for label in "ab" for i in range(3)})
    found = rows(source("files", f"{tmp_path}/*/[01].png"))
    assert [record["label"] for record in found] == ["a", "a", "b", "b"]


def test_links_out_of_an_archive_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png())
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo(f"{kind!r}.png")
            link.type, link.linkname = kind, str(tmp_path / "secret.png")
            archive.addfile(link)
    for member in members(tmp_path / "a.tar"):
        with pytest.raises(DataError, match="a link"):
            member.media()
    said = apart(source("files", str(tmp_path / "a.tar")))
    assert ["a link" in error.what for error in said] == [True, True]


def test_archives_that_cannot_be_read(tmp_path: Path) -> None:
    whole = tar(tmp_path / "a.tar.gz", PHOTOS, "w:gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "no.zip").write_bytes(b"PK nothing")
    (tmp_path / "no.tar").write_bytes(b"nothing" * 200)
    for name in ("cut.tar.gz", "no.zip", "no.tar"):
        with pytest.raises(DataError, match="damaged") as caught:
            rows(source("files", str(tmp_path / name)))
        assert name in str(caught.value)
    with pytest.raises(DataError, match="front to back"):
        Tree(tmp_path / "a.tar.gz")
    with pytest.raises(DataError, match="no image and no recording"):
        rows(source("files", str(write(tmp_path / "texts", {"a.txt": "x"}))))
    with pytest.raises(DataError, match="no such"):
        rows(source("files", str(tmp_path / "absent")))


def idx(array: np.ndarray[Any, Any], code: int = 8) -> bytes:
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, code, array.ndim]) + sizes + array.tobytes()


def test_idx(tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    labels = np.array([0, 1, 1, 0], np.uint8)
    write(tmp_path, {"i.gz": gzip.compress(idx(images)), "l": idx(labels)})
    sides = {"image": str(tmp_path / "i.gz"), "label": str(tmp_path / "l")}
    found = rows(source("idx", sides, values={"label": {0: "shirt", 1: "dress"}}))
    assert np.array_equal(np.stack([record["image"] for record in found]), images)
    assert [record["label"] for record in found] == ["shirt", "dress", "dress", "shirt"]
    assert found[1]["_where"] == f"{tmp_path / 'i.gz'}:2"
    assert rows(source("idx", sides))[1]["label"] == 1
    wide = images.astype(">f4")
    write(tmp_path, {"w": idx(wide, 13)})
    assert np.array_equal(rows(source("idx", {"image": str(tmp_path / "w")}))[3]["image"], wide[3])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no IDX"),
        (b"\x00\x00\x07\x01\0\0\0\1a", "no IDX"),
        (idx(np.zeros(4, np.uint8))[:-1], "ends early"),
        (idx(np.zeros(4, np.uint8)) + b"x", "goes on"),
        (idx(np.zeros(3, np.uint8)), "same number"),
    ],
)
def test_bad_idx(data: bytes, said: str, tmp_path: Path) -> None:
    write(tmp_path, {"l": data, "i": idx(np.zeros((4, 2, 2), np.uint8))})
    with pytest.raises(DataError, match=said):
        rows(source("idx", {"image": str(tmp_path / "i"), "label": str(tmp_path / "l")}))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "names", [("x_train", "y_train", "x_test"), ("train_images", "train_labels", "test_images")]
)
def test_arrays_by_name(names: tuple[str, ...], save: Any, tmp_path: Path) -> None:
    images = np.arange(60, dtype=np.uint8).reshape(5, 2, 2, 3)
    labels = np.array([[3], [1], [0], [2], [1]])
    save(
        tmp_path / "a.npz",
        **dict(zip(names, (images, labels, np.asfortranarray(images)), strict=True)),
    )
    found = source("arrays", str(tmp_path / "a.npz"))
    assert found.splits() == ("train", "test")
    assert [record["label"] for record in rows(found)] == [3, 1, 0, 2, 1]
    for split in found.splits():
        assert np.array_equal(np.stack([r["image"] for r in rows(found, split)]), images)


def test_arrays_by_field_and_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", pixels=np.ones((2, 3, 3)), kinds=np.array(["a", "bc"]))
    named = source("arrays", str(tmp_path / "a.npz"), fields={"image": "pixels", "label": "kinds"})
    assert [record["label"] for record in rows(named)] == ["a", "bc"]
    with pytest.raises(RecipeError, match="no array 'pixel'"):
        rows(named.replace(fields={"image": "pixel"}))
    with pytest.raises(DataError, match="do not tell which"):
        rows(named.replace(fields={}))
    np.save(tmp_path / "x.npy", np.zeros((2, 4, 4), np.uint8))
    np.save(tmp_path / "y.npy", np.array([1, 0]))
    sides = {"image": str(tmp_path / "x.npy"), "label": str(tmp_path / "y.npy")}
    assert [record["label"] for record in rows(source("arrays", sides))] == [1, 0]
    assert source("arrays", {"train": sides, "test": sides}).splits() == ("train", "test")
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="Python objects"):
        rows(source("arrays", {"image": str(tmp_path / "o.npy")}))


def test_damaged_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.asfortranarray(np.zeros((4, 2, 3), np.uint8)))
    write(tmp_path, {"f.npy": (tmp_path / "f.npy").read_bytes()[:-1]})
    with pytest.raises(DataError, match="ends early"):
        rows(source("arrays", {"image": str(tmp_path / "f.npy")}))
    write(tmp_path, {"a.npz": b"PK\x05\x06" + b"\1" * 18, "i": b"\0\0\x08\3" + b"\xff" * 12})
    with pytest.raises(DataError, match="damaged"):
        source("arrays", str(tmp_path / "a.npz")).splits()
    with pytest.raises(DataError, match="ends early"):
        rows(source("idx", {"image": str(tmp_path / "i")}))


def test_rows_that_name_files(tmp_path: Path) -> None:
    write(tmp_path, {"p/1.png": png(9), "t.csv": "file,kind\n1.png,cat\n"})
    found = source(
        "csv",
        str(tmp_path / "t.csv"),
        fields={"image": "file"},
        media={"image": str(tmp_path / "p")},
    )
    assert content(rows(found)[0]) == png(9)
    assert found.files() == (tmp_path / "t.csv", tmp_path / "p/1.png")
    write(tmp_path, {"t.csv": "image\n../t.csv\n/etc/passwd\n2.png\n"})
    bad = source("csv", str(tmp_path / "t.csv"), media={"image": ""})
    errors = [str(row) for _, row in bad.each(tmp_path / "t.csv")]  # type: ignore[attr-defined]
    assert ["names no file" in error for error in errors] == [True, True, False]
    assert "no such file" in errors[2]
    assert "t.csv:4" in errors[2]


def test_images_in_parquet_as_hugging_face_has_them(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    data = [{"image": {"bytes": png(7), "path": "a.png"}, "label": 1}]
    parquet.write_table(pyarrow.Table.from_pylist(data), tmp_path / "a.parquet")
    found = media_in(rows(source("parquet", str(tmp_path / "a.parquet")))[0], "image")
    assert found is not None
    assert decode(found, 3).shape == (4, 6, 3)
