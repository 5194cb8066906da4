"""Every source of files: what its records hold, and what it says of a bad row."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luban.core.contracts import Record, Source
from luban.core.errors import DataError, RecipeError
from luban.data.sources import text as text_source

ROWS = [
    {"title": "One", "lines": "a, b\nc", "n": "1"},
    {"title": "二", "lines": 'he said "x"\r\ny', "n": "2"},
]


def read(split: str = "train", /, **fields: Any) -> list[Record]:
    """Return the records; the error of one that is set apart is raised."""
    return [dict(record) for record in Source.from_dict(fields).read(split)]


def write_jsonl(path: Path) -> None:
    path.write_text("\n\n".join(json.dumps(row) for row in ROWS))


def write_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS, ensure_ascii=False))


def write_csv(path: Path) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(ROWS[0]), lineterminator="\r\n")
        table.writeheader()
        table.writerows(ROWS)


def write_parquet(path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=1)


WRITERS = {
    "jsonl": write_jsonl,
    "json": write_json,
    "csv": write_csv,
    "parquet": write_parquet,
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("name", "write"), WRITERS.items())
def test_rows_come_back(
    tmp_path: Path, name: str, write: Callable[[Path], None], packed: bool
) -> None:
    path = tmp_path / f"data.{name}"
    write(path)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
        path = path.rename(f"{path}.gz")
    found = read(name=name, path=str(tmp_path))
    assert [{k: r[k] for k in ROWS[0]} for r in found] == ROWS
    assert all(str(r["_where"]).startswith(f"{path}:") for r in found)


@pytest.mark.parametrize(("name", "write"), WRITERS.items())
def test_template_and_fields(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    path = tmp_path / "data"
    write(path)
    found = read(
        name=name, path=str(path), fields={"head": "title"}, template="{{{head}}}\n{lines}"
    )
    assert [r["text"] for r in found] == [f"{{{r['title']}}}\n{r['lines']}" for r in ROWS]
    with pytest.raises(DataError, match=r"no field 'titel'[\s\S]*did you mean 'title'"):
        read(name=name, path=str(path), template="{titel}")


def test_columns_that_say_yes_or_no(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("name,red,round,big\na,1,0,True\nb,-1,,no\nc,maybe,0,0\n")
    fields = {"label": ["red", "round", "big"]}
    found = Source.from_dict({"name": "csv", "path": str(path), "fields": fields}).read("train")
    assert [next(found)["label"], next(found)["label"]] == [["red", "big"], []]
    with pytest.raises(DataError, match=r"x.csv:4: the field 'red' says neither yes nor no"):
        dict(next(found))


def test_nested_json(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    row = {"meta": {"lines": ["a", "b"], "tags": [{"name": "t"}]}}
    path.write_text(json.dumps({"data": {"items": [row]}}))
    [record] = read(
        name="json",
        path=str(path),
        records="data.items",
        fields={"text": "{meta.lines}", "tag": "meta.tags.0.name", "lines": "meta.lines"},
        join="|",
    )
    assert (record["text"], record["tag"], record["_where"]) == ("a|b", "t", f"{path}:1")
    assert record["lines"] == ["a", "b"]
    with pytest.raises(DataError, match="no array of records"):
        read(name="json", path=str(path))
    with pytest.raises(DataError, match=r"no field 'data\.rows'"):
        read(name="json", path=str(path), records="data.rows")


@pytest.mark.parametrize(
    ("name", "content", "where", "said"),
    [
        ("jsonl", '{"a": 1}\n{"a": \n', ":2", "not JSON"),
        ("jsonl", '{"a": 1}\n[1]\n', ":2", "not a table"),
        ("json", '[{"a": 1},\n 7]', ":2", "not a table"),
        ("json", '[{"a": 1},\n', ":2", "not JSON"),
        ("csv", 'a,b\n"1\n2",3\n4\n', ":4", "1 fields"),
        ("csv", 'a,b\n"1"x,3\n', ":2", "does not fit"),
        ("parquet", "PAR1 not really", ":1", "cannot be read"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, name: str, content: str, where: str, said: str) -> None:
    path = tmp_path / f"x.{name}"
    path.write_text(content)
    with pytest.raises(DataError, match=said) as error:
        read(name=name, path=str(path))
    assert error.value.where == f"{path}{where}"


def test_csv_delimiters_and_columns(tmp_path: Path) -> None:
    tabs, bars = tmp_path / "x.tsv", tmp_path / "x.csv"
    tabs.write_text("a, b\tc\n1\t2\n")
    bars.write_text("3|4\r\n\r\n5|6\r\n")
    assert read(name="csv", path=str(tabs))[0]["a, b"] == "1"
    found = read(name="csv", path=str(bars), columns=["x", "y"])
    assert [(r["x"], r["y"], r["_where"]) for r in found] == [
        ("3", "4", f"{bars}:1"),
        ("5", "6", f"{bars}:3"),
    ]


def test_given_splits(tmp_path: Path) -> None:
    for split in ("a", "b"):
        (tmp_path / f"{split}.txt").write_text(split)
    path = {"validation": str(tmp_path / "b.txt"), "train": [str(tmp_path / "a.txt")]}
    source = Source.from_dict({"name": "text", "path": path})
    assert source.splits() == ("train", "validation")
    assert [r["text"] for r in source.read("validation")] == ["b"]
    assert [p.name for p in source.files()] == ["a.txt", "b.txt"]
    with pytest.raises(RecipeError, match="did you mean 'validation'"):
        Source.from_dict({"name": "text", "path": {"validaton": "x"}}).splits()
    with pytest.raises(RecipeError):
        Source.from_dict({"name": "text", "path": 3})


def test_documents_of_text(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n\r\n \r\nthree\r\n")
    [whole] = read(name="text", path=str(path))
    assert whole["text"] == "one\ntwo\n\n \nthree\n"
    lines = read(name="text", path=str(path), document="line")
    assert [(r["text"], r["_where"]) for r in lines] == [
        ("one", f"{path}:1"),
        ("two", f"{path}:2"),
        ("three", f"{path}:5"),
    ]
    paragraphs = read(name="text", path=str(path), document="paragraph")
    assert [(r["text"], r["_where"]) for r in paragraphs] == [
        ("one\ntwo", f"{path}:1"),
        ("three", f"{path}:5"),
    ]


@pytest.mark.parametrize("document", ["file", "line", "paragraph"])
@pytest.mark.parametrize("content", ["ab cd\nef\n" * 9, "x" * 70, "a\n" * 20 + "\n" + "b" * 33])
def test_long_documents_come_in_pieces_that_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: str, content: str
) -> None:
    whole_path, path = tmp_path / "whole.txt", tmp_path / "x.txt"
    whole_path.write_text(content)
    path.write_text(content)
    whole = [r["text"] for r in read(name="text", path=str(whole_path), document=document)]
    monkeypatch.setattr(text_source, "PIECE", 16)
    pieces = read(name="text", path=str(path), document=document)
    assert max(len(r["text"]) for r in pieces) <= 32
    joined = [""]
    for record in pieces:
        line = int(record["_where"].rpartition(":")[2])
        assert record["text"][:5] in "\n".join(content.split("\n")[line - 1 :])
        joined[-1] += record["text"]
        if record.get("_last", True):
            joined.append("")
    assert [j.rstrip("\n") for j in joined[:-1]] == [w.rstrip("\n") for w in whole]


def test_python_reference_is_there_and_split() -> None:
    source = Source.from_dict("python-reference")
    sizes = {s: sum(len(r["text"]) for r in source.read(s)) for s in source.splits()}
    assert set(sizes) == {"train", "validation", "test"}
    assert sum(sizes.values()) > 400_000
    assert min(sizes.values()) > 0.04 * sum(sizes.values())
    assert source.files()[0].name.startswith("topics")


def test_songci(luban_data: Path) -> None:
    found = read(name="json", path=str(luban_data / "songci"), template="{rhythmic}\n{paragraphs}")
    assert len(found) == 21_050
    assert found[0]["text"].startswith("导引\n气和玉烛，睿化著鸿明。\n缇管一阳生。\n")
