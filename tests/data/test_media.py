"""Files of records: read from anywhere, known by content, set apart where they are damaged."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luban.core.contracts import Example, Record, TargetSummary
from luban.core.errors import DataError, MissingExtra, UnfitError, UnreadableError
from luban.data import store
from luban.data.files.records import identity_of, size_of
from luban.data.media.media_files import Media, check_readable, media_in
from luban.tasks.text_generation import TextGeneration


def record(image: Any, **fields: Any) -> Record:
    return {"image": image, "_where": "a.csv:3", **fields}


def test_every_way_to_write_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"--abc--")
    text = base64.b64encode(b"abc").decode()
    for written in (
        Media("a.bin", path, 2, 3), Media("x", b"abc"), b"abc", text,
        f"data:image/png;base64,{text}", {"bytes": b"abc", "path": "x.png"},
    ):  # fmt: skip
        found = media_in(record(written), "image")
        assert isinstance(found, Media)
        assert found.read() == b"abc"
        assert found.size == 3
    array = np.zeros((2, 2), np.uint8)
    assert media_in(record(array), "image") is array
    assert media_in({}, "image") is None


def test_text_never_names_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"secret")
    with pytest.raises(DataError, match="not base64") as caught:
        media_in(record(str(tmp_path / "a.png")), "image")
    assert "data.source.media" in caught.value.fix
    with pytest.raises(DataError, match="holds no file"):
        media_in(record(7), "image")


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        Media("gone.png", tmp_path / "gone.png").read()


def test_records_are_the_same_by_what_their_files_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    one, two = record(Media("a", path), label="x"), record(Media("b", b"abc"), label="y")
    assert identity_of(one) == identity_of(two)
    assert identity_of(one) != identity_of(record(b"abd", label="x"))
    arrays = [np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8)]
    assert identity_of(record(arrays[0])) != identity_of(record(arrays[1]))


class Picky(TextGeneration):
    """Cannot read what starts with a question mark."""

    def encode_batch(self, records: Any) -> list[Example]:
        return [self.encode(record) for record in records]

    def encode(self, record: Record) -> Example:
        if record["text"].startswith("?"):
            raise UnreadableError("this is damaged.")
        if record["text"].startswith("!"):
            raise UnfitError("this is long (very).", got="9 metres")
        return {"input_ids": np.frombuffer(record["text"].encode(), np.uint8)}

    def target_summary(self, example: Example) -> TargetSummary:
        return TargetSummary(len(example["input_ids"]))


def test_reasons_are_counted_without_what_is_their_own(tmp_path: Path) -> None:
    task = Picky.model_validate({"tokenizer": "char"}, strict=False)
    records = [{"text": t, "_where": f"a:{i}"} for i, t in enumerate(["ab", "!", "!c", "?d"], 1)]
    built = store.build(task, records, tmp_path / "store")
    assert built.apart.lines[0] == "a:2: this is long (very) (9 metres)."
    assert built.apart.reasons == {"this is long": 2, "this is damaged": 1}


def test_what_is_unreadable_is_set_apart_by_name(tmp_path: Path) -> None:
    task = Picky.model_validate({"tokenizer": "char"}, strict=False)
    records = [{"text": t, "_where": f"a:{i}"} for i, t in enumerate(["ab", "?", "c", "?d"], 1)]
    built = store.build(task, records, tmp_path / "store")
    assert [built[i]["input_ids"].tobytes() for i in range(len(built))] == [b"ab", b"c"]
    assert [built.where(i) for i in range(2)] == ["a:1", "a:3"]
    assert built.apart.lines == ["a:2: this is damaged.", "a:4: this is damaged."]
    with pytest.raises(DataError, match="a:2: this is damaged"):
        store.build(task, records[1:2], tmp_path / "none")


def test_what_reads_them_is_asked_for_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    check_readable(("text", "image", "audio"))
    monkeypatch.setitem(sys.modules, "soxr", None)
    check_readable(("image",))
    with pytest.raises(MissingExtra, match="soxr is not installed"):
        check_readable(("image", "audio"))


def test_the_size_of_a_record_is_in_characters_and_in_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"12345")
    files = {"image": Media("a", tmp_path / "a.png"), "more": {"bytes": b"678", "path": "x"}}
    assert size_of({**files, "label": "ab", "n": 7, "_where": "a:1"}) == (2, 8)
    assert size_of({"image": np.zeros((2, 3), np.float32), "tags": ["x", "yz"]}) == (2, 24)
    assert size_of({"text": "天地", "id": 1}) == (2, 0)


def test_a_file_is_hashed_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "archive.tar"
    path.write_bytes(b"onetwo")
    reads: list[int] = []
    read = Media.read

    def counted(media: Media) -> bytes:
        reads.append(media.offset)
        return read(media)

    monkeypatch.setattr(Media, "read", counted)
    parts = [Media("a", path, 0, 3), Media("b", path, 3, 3)]
    first = [identity_of(record(part)) for part in parts]
    assert [identity_of(record(part)) for part in parts] == first
    assert first == [identity_of(record(data)) for data in (b"one", b"two")]
    assert reads == [0, 3]
    path.write_bytes(b"onethree")
    parts[1] = Media("b", path, 3, 5)
    assert [identity_of(record(part)) for part in parts] == [
        identity_of(record(data)) for data in (b"one", b"three")
    ]
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        identity_of(record(parts[0]))
