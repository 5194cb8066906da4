"""Rows of texts and tables: every one is read, or set apart with its reason, or refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import yaml
from pyarrow import parquet

from luban.core.contracts import Record, SetApart, Source
from luban.core.errors import DataError, LubanError
from luban.data.checks.overlap import overlap
from luban.data.dataset import Data
from luban.testing import check_source
from tests.life import done, luban

pytestmark = pytest.mark.usefixtures("here")


def read(split: str = "train", /, **fields: Any) -> tuple[list[Record], list[SetApart]]:
    """Return the records of a source, and what it sets apart."""
    found = list(Source.from_dict(fields).read(split))
    good = [record for record in found if not isinstance(record, SetApart)]
    return good, [record for record in found if isinstance(record, SetApart)]


def rows_of_jsonl(count: int, bad: Sequence[int] = ()) -> Path:
    """Write classified texts, some lines of which are no JSON."""
    words = ["fine", "good", "warm", "cold", "dull", "flat"]
    lines = [
        json.dumps({"text": f"{words[n % 6]} number {n}", "label": "ab"[n % 6 > 2]})
        for n in range(1, count + 1)
    ]
    for number in bad:
        lines[number - 1] = lines[number - 1][:-5]
    Path("rows.jsonl").write_text("\n".join(lines) + "\n")
    return Path("rows.jsonl")


def classifier(source: dict[str, Any], **sections: Any) -> Path:
    """Write the recipe of a small classifier of texts."""
    recipe = {
        "name": "small",
        "data": {"source": source, "split": {"validation": 0.2, "test": 0.2}},
        "task": {"name": "text-classification", "max_length": 16, "tokenizer": "char"},
        "model": {"name": "bag", "embedding_size": 4, "buckets": 64},
        "train": {"max_steps": 2, "batch_size": 8, "optimizer": {"name": "adamw"}},
        **sections,
    }
    path = Path("small.yaml")
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_a_few_malformed_rows_are_set_apart_and_counted() -> None:
    path = rows_of_jsonl(60, bad=[7, 33])
    recipe = classifier({"name": "jsonl", "path": str(path)})
    said = done("prepare", recipe)
    assert "train: set apart: rows.jsonl:7: this line is not JSON" in said.out + said.err
    claims = json.loads(Path("runs/small/reports/prepare.json").read_text())["claims"]
    values = {name: claim["value"] for name, claim in claims.items()}
    assert (values["rows read"], values["rows kept"], values["rows set apart"]) == (60, 58, 2)
    kept = sum(values[f"{split}/examples"] for split in ("train", "validation", "test"))
    apart = sum(
        values[f"{split}/set apart: this line is not JSON"]
        for split in ("train", "validation", "test")
    )
    assert (kept, apart) == (58, 2)
    assert "rows.jsonl:33" in done("validate", recipe).out
    verified = luban("verify", "runs/small")  # what was not run is missing, what was holds
    assert "claims recomputed: holds" in verified.out + verified.err


def test_too_many_malformed_rows_are_refused_as_helpfully_as_one() -> None:
    path = rows_of_jsonl(60, bad=range(7, 20))
    recipe = classifier({"name": "jsonl", "path": str(path)})
    for verb in ("validate", "prepare"):
        said = luban(verb, recipe)
        assert said.code == 2
        for part in ("rows.jsonl:7", "13 of", "not JSON", "fix: "):
            assert part in said.err, said.err
    said = luban("prepare", recipe, "prepare.max_unreadable=0.5")
    assert said.code == 0, said.err


def test_a_field_that_no_row_has_is_the_error_of_the_first_row() -> None:
    path = rows_of_jsonl(60)
    recipe = classifier({"name": "jsonl", "path": str(path), "fields": {"text": "body"}})
    for verb in ("validate", "prepare"):
        said = luban(verb, recipe)
        assert said.code == 2
        assert "rows.jsonl:1: there is no field 'body'" in said.err
        assert "expected: one of text, label" in said.err


def test_init_tells_of_rows_set_apart() -> None:
    rows_of_jsonl(60, bad=[7])
    said = done("init", "rows.jsonl")
    assert "set apart    1, the first: rows.jsonl:7: this line is not JSON" in said.out


def test_predict_keeps_rows_set_apart_in_their_places() -> None:
    path = rows_of_jsonl(60)
    done("run", classifier({"name": "jsonl", "path": str(path)}))
    rows_of_jsonl(6, bad=[3])
    said = luban("predict", "runs/small", "--input", "rows.jsonl", "--output", "out.jsonl")
    assert said.code == 2
    rows = [json.loads(line)["row"] for line in Path("out.jsonl").read_text().splitlines()]
    assert rows == [1, 2, 4, 5, 6]
    assert "row 3: this line is not JSON" in said.err


# Tables


GOOD = "".join(f"text {n} here,{'good' if n % 2 else 'bad'}\n" for n in range(8))


@pytest.mark.parametrize(
    ("rows", "read_rows", "bad_lines"),
    [
        ('"He said hi,good\nfine,bad\nnice,good\n"x, y",good\nend,bad\n', 4, [10]),
        ('"He said hi,good\nfine,bad\na 5",good\nend,bad\n', 3, [10]),
        ('"He said hi,good\nfine,bad\nend,bad\n', 2, [10]),
        ('fine,bad\n"He said hi,good\n', 1, [11]),
        ('"Dear Sir, I am\nfine.",good\nend,bad\n', 2, []),
        ("fine\nwell,so,good\nend,bad\n", 1, [10, 11]),
        ("a\0b,good\ntext,label\nlone\rreturn,good\nend,bad\n", 1, [10, 11, 12]),
        ("a\u2028b,good\nc\x85d,bad\ne\x0bf,good\n", 3, []),
    ],
)
def test_no_row_of_a_table_is_swallowed(
    rows: str, read_rows: int, bad_lines: Sequence[int]
) -> None:
    Path("t.csv").write_bytes(f"text,label\n{GOOD}{rows}".encode())
    good, apart = read(name="csv", path="t.csv")
    assert len(good) == 8 + read_rows
    assert [record["_where"] for record in apart] == [f"t.csv:{line}" for line in bad_lines]
    assert {record["label"] for record in good} == {"good", "bad"}


def test_a_stray_quote_in_a_table_of_tabs() -> None:
    rows = ['"He said hi\tgood', "fine\tbad", 'and "so" on\tbad', 'last "\tgood']
    Path("t.tsv").write_text("text\tlabel\n" + "\n".join(rows * 5))
    good, apart = read(name="csv", path="t.tsv")
    assert (len(good), len(apart)) == (15, 5)
    good, apart = read(name="csv", path="t.tsv", quoting=False)
    assert (len(good), len(apart)) == (20, 0)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            "a fine film\tpos\na dull one\tneg\ngood\tpos\nbad\tneg\n",
            "'pos' is a value of column 2",
        ),
        ("1\tgreat\n0\tawful\n1\tfine\n", "'1' is a number, like the rest of column 1"),
        ("How are you?\tWie geht es?\nFine.\tGut.\nBye.\tBis bald.\n", "is running text"),
        ("这个酒店非常好，下次还会来。\t1\n服务太差了。\t0\n还可以。\t1\n", "is running text"),
    ],
)
def test_a_first_row_that_is_data_is_no_header(table: str, said: str) -> None:
    Path("t.tsv").write_text(table)
    with pytest.raises(DataError, match="the first row looks like data") as error:
        read(name="csv", path="t.tsv")
    assert said in str(error.value)
    assert "columns" in error.value.fix
    lines = len(table.splitlines())
    for fields in ({"header": False}, {"columns": ["text", "label"]}):
        assert len(read(name="csv", path="t.tsv", **fields)[0]) == lines
    assert len(read(name="csv", path="t.tsv", header=True)[0]) == lines - 1


@pytest.mark.parametrize(
    "table",
    [
        ",text,label\n0,abc,good\n1,abd,bad\n2,xx,good\n",
        "0,1,2,label\n7,8,9,a\n7,7,7,b\n1,2,3,a\n",
        "id,Was it good?,2020\na,yes,x\nb,no,y\nc,yes,x\n",
        "premise,hypothesis,label\nA man runs.,He moves.,0\nA dog.,A cat.,1\n",
        "text,label\r\nabc,good\r\nabd,bad\r\nx,bad\r\n",
        "text,label\rabc,good\rabd,bad\rx,bad",
        "\ufefftext,label\nabc,good\nabd,bad\nx,bad\n",
    ],
)
def test_names_of_columns_are_a_header(table: str) -> None:
    Path("t.csv").write_bytes(table.encode())
    good, apart = read(name="csv", path="t.csv")
    assert (len(good), apart) == (len(table.splitlines()) - 1, [])
    assert "\ufeff" not in "".join(good[0])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", "text,label,label\nfine,good,A\n", "columns 2 and 3"),
        ("t.json", '[{"a": 1,\n "a": 2}]', "line 1, column 3 and line 2, column 2"),
        ("t.jsonl", '{"a": 1, "b": {"c": 1, "c": 2}}\n', "'c' stands twice"),
    ],
)
def test_a_name_that_stands_twice_is_an_error(name: str, content: str, said: str) -> None:
    Path(name).write_text(content)
    recipe = classifier({"name": Path(name).suffix[1:], "path": name})
    for verb in ("validate", "prepare"):
        answer = luban(verb, recipe)
        assert answer.code == 2
        assert said in answer.err, answer.err


def test_two_columns_of_a_parquet_file_of_one_name() -> None:
    columns = [pyarrow.array(["x"]), pyarrow.array(["a"]), pyarrow.array(["b"])]
    table = pyarrow.Table.from_arrays(columns, names=["text", "label", "label"])
    parquet.write_table(table, "t.parquet")
    with pytest.raises(DataError, match="two columns are called 'label'"):
        read(name="parquet", path="t.parquet")


def test_columns_of_a_recipe_of_one_name() -> None:
    with pytest.raises(LubanError, match="columns 1 and 2 alike"):
        read(name="csv", path="t.csv", columns=["a", "a"])


def test_a_table_of_meanings_of_one_value() -> None:
    with pytest.raises(LubanError, match="'1'"):
        read(name="jsonl", path="t.jsonl", values={"label": {1: "a", "1": "b"}})


@pytest.mark.parametrize("name", ["json", "squad", "coco"])
@pytest.mark.parametrize(
    "text", ["[" * 100_000, f'[{{"a": {"1" * 5000}}}]', '[{"a": 1', '{"a": 1, "a": 2}']
)
def test_json_that_no_reader_takes_is_one_error(name: str, text: str) -> None:
    Path("bad.json").write_text(text)
    with pytest.raises(DataError, match=r"not JSON|stands twice"):
        read(name=name, path="bad.json")
    said = luban("init", "bad.json")
    assert (said.code, "Traceback" in said.err) == (2, False)


@pytest.mark.parametrize(("place", "bad"), [("context", None), ("answers", 1), ("answers", [1])])
def test_what_is_said_of_a_set_passes_over_questions_set_apart(place: str, bad: Any) -> None:
    good = {"context": "a b", "qas": [{"question": "q", "answers": [{"text": "b", "start": 0}]}]}
    odd = json.loads(json.dumps(good))
    (odd if place == "context" else odd["qas"][0])[place] = bad
    Path("q.json").write_text(json.dumps({"data": [{"paragraphs": [good, odd]}]}))
    records, apart = read(name="squad", path="q.json")
    assert (len(records), len(apart)) == (1, 1)
    assert (
        "1 stand elsewhere"
        in Source.from_dict({"name": "squad", "path": "q.json"}).facts()["answers moved"]
    )


@pytest.mark.parametrize(
    ("text", "right"),
    [("one\rtwo\r", ["one", "two"]), ("one\rmore\ntwo\r\n", ["one\rmore", "two"])],
)
def test_a_line_ends_with_lf_or_where_there_is_none_with_cr(text: str, right: list[str]) -> None:
    Path("lines.txt").write_bytes(text.encode())
    records, _ = read(name="text", path="lines.txt", document="line")
    assert [record["text"] for record in records] == right


def test_values_stay_what_the_file_says() -> None:
    rows = [{"v": v} for v in (1, 1.0, "1", "01", "1.0", True, "nan", "NA", "null", "", None)]
    Path("t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert [repr(r["v"]) for r in read(name="jsonl", path="t.jsonl")[0]] == [
        repr(row["v"]) for row in rows
    ]
    Path("t.csv").write_text("v,w\n" + "".join(f"{v},x\n" for v in ("01", "1.0", "nan", "NA", "")))
    assert [r["v"] for r in read(name="csv", path="t.csv")[0]] == ["01", "1.0", "nan", "NA", ""]
    table = pyarrow.table({"i": [1, None], "f": [1.0, float("nan")], "s": ["01", ""]})
    parquet.write_table(table, "t.parquet")
    found = [
        tuple(map(repr, (r["i"], r["f"], r["s"])))
        for r in read(name="parquet", path="t.parquet")[0]
    ]
    assert found == [("1", "1.0", "'01'"), ("None", "nan", "''")]


# Splits


def test_questions_about_one_context_stay_together() -> None:
    rows = [
        {"question": f"What is {n}?", "context": f"This is passage number {n // 4}, a long one."}
        for n in range(200)
    ]
    Path("q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = Data.from_dict({"source": {"name": "jsonl", "path": "q.jsonl"}})
    parts = {s: {r["context"] for r in data.records(s)} for s in data.available_splits()}
    assert not parts["train"] & (parts["validation"] | parts["test"])
    assert "records of equal 'context' stay together" in data.split_rule()
    assert overlap(data)["test"].parts["context"] == 0


@pytest.mark.parametrize("by", ["record", "order"])
def test_a_small_share_of_few_records_is_not_empty(by: str) -> None:
    rows_of_jsonl(40)
    for salt in "abcdefgh":
        split = {"by": by, "salt": salt, "validation": 0.05, "test": 0.05}
        data = Data.from_dict({"source": {"name": "jsonl", "path": "rows.jsonl"}, "split": split})
        sizes = [len(list(data.records(s))) for s in ("train", "validation", "test")]
        assert min(sizes) >= 1
        assert sum(sizes) == 40


def test_the_advice_on_overlap_of_given_splits_can_help() -> None:
    rows_of_jsonl(60)
    recipe = classifier({"name": "jsonl", "path": {"train": "rows.jsonl", "test": "rows.jsonl"}})
    said = luban("prepare", recipe)
    assert said.code == 2
    assert "test records are in train too" in said.err
    assert "exact-duplicates" not in said.err
    assert "data.split.by: record" in said.err


# Encodings


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "utf-16", "utf-16-le", "utf-8"])
@pytest.mark.parametrize("declared", ["utf-8", "gb18030", "big5", "latin-1", "utf-16"])
def test_a_wrong_encoding_is_refused_at_its_byte(encoding: str, declared: str) -> None:
    text = (
        "我不是一个人来的，这里的人都在中国。\n"
        if encoding != "big5"
        else "我不是一個人來的，這裡的人都在中國。\n"
    )
    Path("t.txt").write_bytes((text * 5).encode(encoding))
    fields = {"name": "text", "path": "t.txt", "document": "line", "encoding": declared}
    if encoding == declared:
        assert read(**fields)[0][0]["text"] == text.strip()
        return
    with pytest.raises(DataError, match=r"t\.txt: byte \d") as error:
        read(**fields)
    assert "encoding" in error.value.fix


# Every record is read or set apart


@pytest.mark.parametrize("damage", [0, 3])
@pytest.mark.parametrize(
    "name", ["csv", "tsv", "jsonl", "json", "conll", "lines", "parallel", "squad"]
)
def test_records_read_and_set_apart_are_all_there_are(name: str, damage: int) -> None:
    count, bad = 40, {5, 17, 29} if damage else set[int]()
    source: dict[str, Any] = {"name": name, "path": f"t.{name}"}
    numbers = range(1, count + 1)
    if name in ("csv", "tsv"):
        mark = "," if name == "csv" else "\t"
        rows = [f"{'$' * (n in bad)}text {n}{mark}{'ab'[n % 2]}".replace("$", '"') for n in numbers]
        content, source["name"] = "\n".join([f"text{mark}label", *rows]), "csv"
    elif name == "jsonl":
        content = "\n".join(f'{{"a": {n}{"" if n in bad else "}"}' for n in numbers)
    elif name == "json":
        content = json.dumps([n if n in bad else {"a": n} for n in numbers])
    elif name == "conll":
        content = "\n\n".join(f"a\tO\nb{'' if n in bad else chr(9) + 'B-x'}" for n in numbers)
    elif name == "lines":
        content = "\n".join(f"{'x' if n in bad else n % 2} text" for n in numbers)
        source["pattern"] = r"(?P<label>\d) (?P<text>.*)"
    elif name == "squad":
        content = json.dumps(
            [
                {
                    "context": f"a fox {n}",
                    "qas": [{"question": "q", "id": n, "answers": ["cat" if n in bad else "fox"]}],
                }
                for n in numbers
            ]
        )
    else:
        bad, content = set(), "\n".join(f"line {n}\u2028\x0c\x85" for n in numbers)
        source["path"] = {"source": "t.parallel", "target": "t.parallel"}
    Path(f"t.{name}").write_text(content)
    check_source(Source.from_dict(source), rows=count)
    good, apart = read(**source)
    assert (len(good), len(apart)) == (count - len(bad), len(bad))


def test_a_text_with_lines_of_old_systems_is_read_in_lines() -> None:
    Path("old.txt").write_bytes(b"one\rtwo\rthree\r")
    good, apart = read(name="text", path="old.txt", document="line")
    assert [record["text"] for record in good] == ["one", "two", "three"]
    Path("mixed.txt").write_bytes(b"one\rstill one\ntwo\n")
    good, apart = read(name="text", path="mixed.txt", document="line")
    assert [record["text"] for record in good] == ["one\rstill one", "two"]
    assert not apart
