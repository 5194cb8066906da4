"""Cleaning, splitting and streaming: exact by position, stable by hash, nothing lost or doubled."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luban.core.errors import DataError, RecipeError
from luban.data.dataset import Data, content_of
from luban.data.files.split_names import SPLITS
from luban.data.sources import text as text_source
from luban.data.split import Split, slice_records

Rows = Callable[..., dict[str, Any]]


def data(source: Any, **fields: Any) -> Data:
    return Data.from_dict({"source": source, **fields})


def texts(found: Data, split: str) -> list[str]:
    return [record["text"] for record in found.records(split)]


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Write rows as JSON Lines and return the source that reads them."""

    def write(*records: dict[str, Any], name: str = "x.jsonl") -> dict[str, Any]:
        path = tmp_path / name
        path.write_text("\n".join(map(json.dumps, records)))
        return {"name": "jsonl", "path": str(path)}

    return write


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"text": f"record {i}", "who": f"author {i % 7}"} for i in range(count)]


def test_tiny_shakespeare_is_split_as_nanogpt_does(luban_data: Path) -> None:
    path = luban_data / "tinyshakespeare/input.txt"
    whole = path.read_text()
    cut = int(len(whole) * 0.9)
    shakespeare = {"name": "text", "path": str(path)}
    for split in ({"validation": 0.1, "test": 0.0}, {}):
        found = data(shakespeare, split=split)
        assert found.split_by() == "position"
        assert "".join(texts(found, "train")) == whole[:cut]
    rest = "".join(texts(found, "validation")) + "".join(texts(found, "test"))
    assert rest == whole[cut:]
    assert cut == 1_003_854


@given(st.lists(st.text(max_size=20), max_size=8), st.data())
def test_slices_lose_and_double_nothing(parts: list[str], pick: st.DataObject) -> None:
    whole = "".join(parts)
    start = pick.draw(st.integers(0, len(whole)))
    stop = pick.draw(st.integers(start, len(whole)))
    records = [{"text": text, "_where": "f:1"} for text in parts]
    assert "".join(r["text"] for r in slice_records(records, start, stop)) == whole[start:stop]


def test_a_cut_document_goes_on_and_keeps_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_source, "PIECE", 30)
    path = tmp_path / "x.txt"
    path.write_text("".join(f"line {i:02}\n" for i in range(1, 11)))
    found = data({"name": "text", "path": str(path)}, split={"validation": 0.5, "test": 0.0})
    train, validation = list(found.records("train")), list(found.records("validation"))
    assert [r["_last"] for r in train] == [False] * len(train)
    assert [r["_last"] for r in validation] == [False] * (len(validation) - 1) + [True]
    assert validation[0]["text"].startswith("line 06\n")
    assert validation[0]["_where"] == f"{path}:6"


def test_by_record_is_stable_when_rows_are_added(rows: Rows) -> None:
    few = data(rows(*numbered(300)))
    before = {split: set(texts(few, split)) for split in SPLITS}
    more = data(rows(*numbered(400)))
    after = {split: set(texts(more, split)) for split in SPLITS}
    assert few.split_by() == "record"
    assert all(before[split] <= after[split] for split in SPLITS)
    assert sum(map(len, after.values())) == 400
    assert 8 <= len(after["validation"]) <= 35
    other = data(more.source.to_dict(), split={"salt": "x"})
    assert set(texts(other, "test")) != after["test"]


def test_equal_records_stay_together(rows: Rows) -> None:
    found = data(rows(*numbered(200), *numbered(200)))
    parts = [set(texts(found, split)) for split in SPLITS]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 200


def test_by_group(rows: Rows) -> None:
    source = rows(*numbered(200))
    split = {"by": "group", "key": "who", "validation": 0.3, "test": 0.2}
    found = data(source, split=split)
    groups = [{r["who"] for r in found.records(split)} for split in SPLITS]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 7
    with pytest.raises(DataError, match=r"x\.jsonl:1: there is no field 'whom'"):
        texts(data(source, split={**split, "key": "whom"}), "train")


def test_by_file(rows: Rows, tmp_path: Path) -> None:
    for number in range(12):
        rows({"text": f"{number}"}, name=f"{number}.jsonl")
    source = {"name": "jsonl", "path": str(tmp_path)}
    found = data(source, split={"validation": ["1*.jsonl"], "test": ["*/3.jsonl"]})
    assert found.split_by() == "file"
    assert texts(found, "validation") == ["1", "10", "11"]
    assert texts(found, "test") == ["3"]
    assert len(texts(found, "train")) == 8
    hashed = data(source, split={"by": "file", "validation": 0.3, "test": 0.3})
    dealt = [text for s in SPLITS for text in texts(hashed, s)]
    assert sorted(dealt, key=int) == [*map(str, range(12))]


def test_given(rows: Rows) -> None:
    train, held = rows({"text": "a"}, name="a.jsonl"), rows({"text": "b"}, name="b.jsonl")
    path = {"train": train["path"], "test": held["path"]}
    found = data({"name": "jsonl", "path": path}, split={"validation": 0.0})
    assert (found.split_by(), found.available_splits()) == ("given", ("train", "test"))
    assert texts(found, "test") == ["b"]
    with pytest.raises(DataError, match="no split 'validation'"):
        found.records("validation")
    joined = data({"name": "jsonl", "path": path}, split={"by": "record"})
    assert joined.available_splits() == SPLITS
    with pytest.raises(DataError, match="no train split"):
        data({"name": "jsonl", "path": {"test": held["path"], "validation": held["path"]}}).records(
            "test"
        )


def test_a_split_that_is_not_given_is_dealt_from_train(rows: Rows) -> None:
    train, held = rows(*numbered(300), name="a.jsonl"), rows({"text": "b"}, name="b.jsonl")
    for lacking, has in (("validation", "test"), ("test", "validation")):
        source = {"name": "jsonl", "path": {"train": train["path"], has: held["path"]}}
        found = data(source, split={"validation": 0.1, "test": 0.1})
        assert (found.split_by(), found.available_splits()) == ("given", SPLITS)
        assert texts(found, has) == ["b"]
        dealt = texts(found, lacking)
        assert 15 <= len(dealt) <= 50
        assert sorted(dealt + texts(found, "train")) == sorted(r["text"] for r in numbered(300))
        assert (found.survey().rows, found.survey().kept) == (301, 301)
    grouped = data(source, split={"by": "given", "key": "who", "validation": 0.0, "test": 0.3})
    parts = [{r["who"] for r in grouped.records(s)} for s in ("train", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 7


def test_running_text_that_lacks_a_split_is_cut_by_position(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0123456789" * 100)
    (tmp_path / "b.txt").write_text("b")
    path = {"train": str(tmp_path / "a.txt"), "test": str(tmp_path / "b.txt")}
    found = data({"name": "text", "path": path}, split={"validation": 0.2})
    assert [len("".join(texts(found, split))) for split in SPLITS] == [800, 200, 1]
    assert found.survey().size == 1001


def test_by_order_and_by_stride(rows: Rows) -> None:
    source = rows(*numbered(10))
    whole = [row["text"] for row in numbered(10)]
    last = data(source, split={"by": "order", "validation": 0.1, "test": 0.2})
    assert [texts(last, split) for split in SPLITS] == [whole[:7], whole[7:8], whole[8:]]
    every = data(source, split={"by": "stride", "validation": 0.0, "test": 0.2})
    assert texts(every, "test") == [whole[0], whole[5]]
    assert texts(every, "train") == [text for text in whole if text not in (whole[0], whole[5])]


def test_neighbours_of_equal_key_stay_together(rows: Rows) -> None:
    source = rows(*({"text": f"{i}", "who": i // 3} for i in range(30)))
    for by, held in (("order", ["24", "25", "26", "27", "28", "29"]), ("stride", ["0", "1", "2"])):
        split = {"by": by, "key": "who", "validation": 0.0, "test": 0.2}
        assert texts(data(source, split=split), "test")[: len(held)] == held
        assert len(texts(data(source, split=split), "test")) == 6


@given(st.integers(0, 300), st.integers(0, 40), st.integers(0, 40))
def test_a_stride_takes_its_share_and_spreads_it(size: int, validation: int, test: int) -> None:
    split = Split(by="stride", validation=validation / 100, test=test / 100)
    records = [{"text": str(i)} for i in range(size)]
    parts = {s: list(split.deal(records, s, "stride", 0)) for s in split.names()}
    assert sorted(int(r["text"]) for part in parts.values() for r in part) == list(range(size))
    for name, percent in (("test", test), ("validation", validation)):
        assert abs(len(parts.get(name, ())) - size * percent / 100) <= 2


def test_many_documents_are_dealt_out_whole(tmp_path: Path) -> None:
    for number in range(120):
        (tmp_path / f"{number}.txt").write_text(f"text {number}")
    found = data({"name": "text", "path": str(tmp_path)})
    assert found.split_by() == "record"
    (tmp_path / "0.txt").unlink()
    for number in range(60):
        (tmp_path / f"{number}.txt").unlink(missing_ok=True)
    assert data({"name": "text", "path": str(tmp_path)}).split_by() == "position"


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"validation": 0.6, "test": 0.4}, "leave some for train"),
        ({"validation": -0.1}, "leave some for train"),
        ({"by": "group"}, "needs `key`"),
        ({"key": "a"}, "`key` needs"),
        ({"by": "record", "test": ["*.txt"]}, "by: file"),
        ({"by": "recrod"}, "Input should be"),
    ],
)
def test_impossible_splits_are_refused(split: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Split.from_dict(split)


def test_position_needs_text(rows: Rows) -> None:
    found = data(rows({"label": 1}), split={"by": "position"})
    with pytest.raises(DataError, match=r"x\.jsonl:1: a split by position needs running text"):
        list(found.records("train"))


def test_survey_counts_and_cleaners_come_first(rows: Rows) -> None:
    records = [{"text": "  "}, {"text": "a\r\nb"}, {"text": "a\nb"}, {"text": "漢字"}]
    cleaners = ["unicode", "length", "exact-duplicates"]
    found = data(rows(*records), cleaners=cleaners, split={"validation": 0.0, "test": 0.0})
    survey = found.survey()
    assert (survey.rows, survey.kept, survey.size) == (4, 2, 5)
    assert [sum(t.counts.values()) for t in survey.tallies] == [1, 1, 1]
    assert texts(found, "train") == texts(found, "train") == ["a\nb", "漢字"]
    assert found.available_splits() == ("train",)


def test_changed_files_are_seen(rows: Rows) -> None:
    found = data(rows({"text": "a"}))
    before = (found.files_digest(), found.survey().rows)
    rows({"text": "a"}, {"text": "b"})
    assert found.files_digest() != before[0]
    assert found.survey().rows == 2
    [path] = found.source.files()
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        content_of(path)


def test_digest_does_not_depend_on_the_folder(rows: Rows, tmp_path: Path) -> None:
    source = rows({"text": "a"})
    (tmp_path / "moved").mkdir()
    moved = rows({"text": "a"}, name="moved/x.jsonl")
    assert data(source).files_digest() == data(moved).files_digest()
