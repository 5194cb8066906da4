"""Paths, gzip, encodings: what is found, and what is said when it cannot be read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from luban.core.errors import DataError
from luban.data.files.reading import expand, open_bytes, open_text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.txt", "sub/c.txt.gz", ".hidden.txt", "README.txt", "d.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_folder_is_sorted_and_leaves_out_what_is_not_data(folder: Path) -> None:
    names = [path.name for path in expand(str(folder), (".txt",))]
    assert names == ["a.txt", "b.txt", "c.txt.gz"]


def test_glob_and_list_keep_their_order_and_repeat_nothing(folder: Path) -> None:
    patterns = (str(folder / "b.txt"), str(folder / "*.txt"))
    assert [p.name for p in expand(patterns, ())] == ["b.txt", "README.txt", "a.txt"]


def test_missing_file_names_the_nearest(folder: Path) -> None:
    with pytest.raises(DataError, match=r"did you mean 'b\.txt'"):
        expand(str(folder / "bb.txt"), ())
    with pytest.raises(DataError, match="no such folder"):
        expand(str(folder / "nowhere" / "b.txt"), ())
    with pytest.raises(DataError, match="no file to read"):
        expand(str(folder), (".parquet",))


def test_gzip_is_told_by_content(tmp_path: Path) -> None:
    path = tmp_path / "plain-name"
    path.write_bytes(gzip.compress("天地玄黄\r\nb".encode()))
    with open_text(path) as file:
        assert file.read() == "天地玄黄\nb"


def test_damaged_gzip_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"x" * 10_000)[:-9])
    with pytest.raises(DataError, match="damaged"), open_bytes(path) as file:
        file.read()


@pytest.mark.parametrize("before", [0, 7, (1 << 20) - 1, (1 << 20) + 3])
def test_wrong_encoding_names_the_byte(tmp_path: Path, before: int) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"a" * before + "汉".encode("gb18030") + b"zzz")
    with pytest.raises(DataError, match=f"byte {before:,}: this is not utf-8"):
        _read(path)


def test_encodings_and_byte_order_marks(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    for written, read in (("utf-8-sig", "utf-8"), ("gb18030", "gb18030"), ("utf-16", "utf-16")):
        path.write_text("汉字", encoding=written)
        with open_text(path, read) as file:
            assert file.read() == "汉字"
    with pytest.raises(DataError, match="no encoding named 'klingon'"), open_text(path, "klingon"):
        pass


def _read(path: Path) -> str:
    with open_text(path) as file:
        return file.read()
