"""What is guessed of a file can be read as guessed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from luban.core.contracts import Source
from luban.core.errors import DataError
from luban.data import guess as module
from luban.data.guess import guess


def test_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes("天地玄黄。\r\n\r\nab\r\n".encode("gb18030"))
    found = guess(str(path))
    assert found["source"] == {"name": "text", "path": str(path), "encoding": "gb18030"}
    facts = found["facts"]
    assert (facts["newlines"], facts["records"], facts["characters"]) == ("CRLF", 1, 10)
    assert facts["scripts"] == {"cjk": 0.667, "latin": 0.333, "other": 0.0}


def test_a_list_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("\n".join(f"name{i}" for i in range(30)))
    assert guess(str(path))["source"]["document"] == "line"


def test_json_under_a_key(tmp_path: Path) -> None:
    path = tmp_path / "x.json.gz"
    rows = [{"id": i, "body": "words and words"} for i in range(3)]
    path.write_bytes(gzip.compress(json.dumps({"meta": 1, "data": {"items": rows}}).encode()))
    found = guess(str(path))
    assert found["source"] == {
        "name": "json",
        "path": str(path),
        "records": "data.items",
        "fields": {"text": "body"},
    }
    assert found["facts"]["records"] == 3


def test_forms_are_told_by_content(tmp_path: Path) -> None:
    path = tmp_path / "x.data"
    path.write_text('{"text": "a"}\n{"text": "b"}\n')
    assert guess(str(path))["source"] == {"name": "jsonl", "path": str(path)}
    path.write_text('[\n{"text": "a"}]')
    assert guess(str(path))["source"]["name"] == "json"
    path.write_bytes(b"\x7fELF\0\0")
    with pytest.raises(DataError, match="not a text file"):
        guess(str(path))
    with pytest.raises(DataError, match="no such file"):
        guess(str(tmp_path / "y"))


def test_csv_without_header(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("3,some words\n4,more words\n")
    found = guess(str(path))["source"]
    assert found["columns"] == ["column1", "column2"]
    assert found["fields"] == {"text": "column2"}


def test_large_files_are_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "0123456789"}\n' * 1000)
    exact = guess(str(path))["facts"]
    monkeypatch.setattr(module, "_COUNT_ALL", 2000)
    rough = guess(str(path))["facts"]
    assert (exact["records"], exact["estimated"], rough["estimated"]) == (1000, False, True)
    assert rough["records"] == pytest.approx(1000, rel=0.2)
    assert rough["characters"] == pytest.approx(10_000, rel=0.2)


@pytest.mark.parametrize(
    ("path", "name", "records"),
    [
        ("tinyshakespeare/input.txt", "text", 1),
        ("names/names.txt", "text", 32_033),
        ("songci", "json", 21_050),
        ("sanguo", "text", 1),
        ("ag-news/test.csv.gz", "csv", 7_600),
        ("gsm8k", "jsonl", 7_473),
        ("waimai-10k/waimai_10k.csv", "csv", 11_987),
    ],
)
def test_real_sets(luban_data: Path, path: str, name: str, records: int) -> None:
    found = guess(str(luban_data / path))
    assert (found["source"]["name"], found["facts"]["records"]) == (name, records)
    first = next(Source.from_dict(found["source"]).read("train"))
    assert first["text"]
