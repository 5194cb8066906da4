"""What is guessed of a file can be read as guessed."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from luban.core.contracts import Source
from luban.core.errors import DataError
from luban.data.files.formats import encoding_of
from luban.data.files.records import own_fields
from luban.init import inspection as module
from luban.init.inspection import guess


def written(path: Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_plain_text(tmp_path: Path) -> None:
    path = written(tmp_path / "x", "天地玄黄。\r\n\r\nab\r\n".encode("gb18030"))
    found = guess(path)
    assert found.source == {"name": "text", "path": path, "encoding": "gb18030"}
    facts = found.facts
    assert (facts["newlines"], facts["records"], facts["characters"]) == ("CRLF", 1, 10)
    assert facts["scripts"] == {"cjk": 0.667, "latin": 0.333, "other": 0.0}


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("naïve Grüße, für café\n", "latin-1"),
        ("“quoted” für\n", "cp1252"),
        ("天地玄黄，宇宙洪荒。日月盈昃\n", "gb18030"),
        ("天地玄黃，宇宙洪荒。日月盈昃\n", "big5"),
        ("天地 für\n", "utf-8"),
        ("ab 天\n", "utf-16"),
    ],
)
def test_encodings(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "x"
    path.write_bytes((text * 50).encode(encoding))
    found = encoding_of(path)
    # Every Big5 text is a GB18030 text too: there is no telling, and both are Chinese.
    assert found == (encoding if encoding != "big5" else "gb18030")


def test_a_list_of_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "x.txt", "\n".join(f"name{i}" for i in range(30)))
    assert guess(path).source["document"] == "line"


def test_json_under_a_key(tmp_path: Path) -> None:
    rows = [{"id": i, "body": "words and words"} for i in range(3)]
    packed = gzip.compress(json.dumps({"meta": 1, "data": {"items": rows}}).encode())
    path = written(tmp_path / "x.json.gz", packed)
    found = guess(path)
    assert found.source == {"name": "json", "path": path, "records": "data.items"}
    assert found.facts["records"] == len(found.sample) == 3


def test_forms_are_told_by_content(tmp_path: Path) -> None:
    path = written(tmp_path / "x.data", '{"text": "a"}\n{"text": "b"}\n')
    assert guess(path).source == {"name": "jsonl", "path": path}
    written(tmp_path / "x.data", '[\n{"text": "a"}]')
    assert guess(path).source["name"] == "json"
    written(tmp_path / "x.data", b"\x7fELF\0\0")
    with pytest.raises(DataError, match="not a text file"):
        guess(path)
    with pytest.raises(DataError, match="no such file"):
        guess(str(tmp_path / "y"))


@pytest.mark.parametrize(
    ("content", "source"),
    [
        ("a O\nb B-x\n\nc O\n", {"name": "conll"}),
        ("1 a X B-x _\n2 b Y O _\n\n1 c Z O _\n", {"name": "conll", "tokens": 1, "tags": 3}),
        (  # no name is a value of its column
            "a\tb c\n" * 9,
            {
                "name": "csv",
                "delimiter": "\t",
                "quoting": False,
                "columns": ["column1", "column2"],
            },
        ),
        (
            '"a\tb.\nx"\td,\n',
            {"name": "csv", "delimiter": "\t", "quoting": False, "columns": ["column1", "column2"]},
        ),
        ('id\t"b"\nc\t"d"\n', {"name": "csv", "delimiter": "\t"}),
        (  # a quoted field goes on over a line end; quotes in others are characters
            "id\tb\tx\n" + "a\tb\tx\n" * 50 + 'y\t"c\nd ""e"""\tf\n' + 'g "h" i\tj\tx\n',
            {"name": "csv", "delimiter": "\t"},
        ),
        (
            "id\tb\n" + "a\tb\n" * 9 + '"c" d\te\n',
            {"name": "csv", "delimiter": "\t", "quoting": False},
        ),
        ('id\tb\n"e\tf\n' + "c\td\n" * 9, {"name": "csv", "delimiter": "\t", "quoting": False}),
        (
            "1 good film\n0 bad one\n1 fine\n",
            {"name": "lines", "pattern": r"(?P<label>\S+)\s+(?P<text>.*)"},
        ),
        (
            "__label__a good film\n__label__b bad\n__label__a c\n",
            {"name": "lines", "pattern": r"__label__(?P<label>\S+)\s+(?P<text>.*)"},
        ),
        ('{"data": [{"paragraphs": [{"context": "a", "qas": []}]}]}', {"name": "squad"}),
        ("Once there was\n\na king.\n", {"name": "text"}),
    ],
)
def test_text_files_that_are_more(tmp_path: Path, content: str, source: dict[str, Any]) -> None:
    path = written(tmp_path / "x.txt", content)
    if source["name"] == "squad":  # without a question there is nothing in it
        with pytest.raises(DataError, match="no text"):
            guess(path)
        return
    found = dict(guess(path).source)
    assert found.pop("path") == path
    assert found == source or {**source, "quoting": True} == {"quoting": True, **found}


def test_parallel_files(tmp_path: Path) -> None:
    for split in ("train", "val", "test_2016"):
        for side in ("de", "en"):
            written(tmp_path / f"{split}.{side}", f"{side} 1\n{side} 2\n")
    written(tmp_path / "README.md", "x")
    found = guess(str(tmp_path)).source
    assert found["name"] == "parallel"
    assert list(found["path"]) == ["train", "validation", "test"]
    assert found["path"]["test"] == {
        "en": str(tmp_path / "test_2016.en"),
        "de": str(tmp_path / "test_2016.de"),
    }
    one = guess(str(tmp_path / "train.de"))
    assert one.source["path"] == {
        "en": str(tmp_path / "train.en"),
        "de": str(tmp_path / "train.de"),
    }
    assert own_fields(one.sample[0]) == {"en": "en 1", "de": "de 1"}


def test_folders_by_label(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("pos", "neg"):
            for number in range(3):
                written(tmp_path / split / label / f"{number}.txt", f"{label} {number}")
    assert guess(str(tmp_path / "train")).source["name"] == "folders"
    found = guess(str(tmp_path))
    assert found.source["path"] == {s: str(tmp_path / s) for s in ("train", "test")}
    assert found.facts["records"] == 12
    written(tmp_path / "train" / "x.txt", "text beside the folders")
    assert guess(str(tmp_path / "train")).source["name"] == "text"


def test_a_file_for_each_split(tmp_path: Path) -> None:
    for name in ("my.train.bmes", "my.dev.bmes", "my.test.bmes"):
        written(tmp_path / name, "天 B-x\n地 O\n\n玄 O\n")
    found = guess(str(tmp_path)).source
    assert found["name"] == "conll"
    assert list(found["path"]) == ["train", "validation", "test"]


def test_large_files_are_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "x.jsonl", '{"text": "0123456789"}\n' * 1000)
    exact = guess(path).facts
    monkeypatch.setattr(module, "_COUNT_ALL", 2000)
    rough = guess(path).facts
    assert (exact["records"], exact["estimated"], rough["estimated"]) == (1000, False, True)
    assert rough["records"] == pytest.approx(1000, rel=0.2)
    last = "x" * 20 + '"}\n'
    Path(path).write_text('{"text": "0123456789"}\n' * 900 + ('{"late": "' + last) * 100)
    assert "late" in {name for record in guess(path).sample for name in record}
    assert rough["characters"] == pytest.approx(10_000, rel=0.2)


def test_large_parquet_files_are_looked_at_all_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"{hash_of(n)} {n}" for n in range(20_000)]
    late = [None] * 19_000 + ["late"] * 1000
    table = pyarrow.table({"text": texts, "label": late})
    path = str(tmp_path / "x.parquet")
    parquet.write_table(table, path, row_group_size=500)
    monkeypatch.setattr(module, "_COUNT_ALL", 1 << 16)
    found = guess(path)
    assert "late" in {record["label"] for record in found.sample}
    assert found.facts["records"] == pytest.approx(20_000, rel=0.5)
    assert "looked at" not in found.facts


def test_it_is_said_where_only_the_beginning_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(json.dumps({"text": hash_of(n)}) + "\n" for n in range(5000))
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    monkeypatch.setattr(module, "_COUNT_ALL", 1 << 14)
    found = guess(str(tmp_path / "x.jsonl.gz"))
    assert re.fullmatch("the first [0-9,]+ records only", found.facts["looked at"])


def hash_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def test_the_sample_is_from_all_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": f"text {i}", "label": "a" if i < 900 else "b"} for i in range(1000)]
    path = written(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows)))
    monkeypatch.setattr(module, "_SAMPLE_RECORDS", 100)
    sample = guess(path).sample
    assert 50 <= len(sample) <= 100
    assert {record["label"] for record in sample} == {"a", "b"}


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
        ("sst2", "lines", 9_613),
        ("thucnews-titles/dev.txt", "csv", 10_000),
        ("csl/cls_ctg.train.tsv", "csv", 8_000),
        ("wnut17", "conll", 5_690),
        ("resume-ner", "conll", 4_761),
        ("multi30k-en-de", "parallel", 31_014),
        ("tatoeba-en-zh", "csv", 19_035),
        ("squad11-dev", "squad", 8_001),
        ("cmrc2018-dev/cmrc2018_dev.json.gz", "squad", 3_219),
    ],
)
def test_real_sets(luban_data: Path, path: str, name: str, records: int) -> None:
    found = guess(str(luban_data / path))
    assert (found.source["name"], found.facts["records"]) == (name, records)
    assert own_fields(next(Source.from_dict(found.source).read("train")))
