"""Overlap of held-out text with train, against a search with plain Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luban.core.contracts import Cleaner, Tally
from luban.core.errors import DataError
from luban.data.checks.overlap import SHINGLE, STRIDE, _rolling, check_overlap, overlap
from luban.data.dataset import Data
from luban.data.split import Split


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=45, max_size=130), st.integers(0, 30)
)
def test_equal_passages_have_equal_hashes_wherever_they_stand(text: str, shift: int) -> None:
    hashes = _rolling(text)
    assert len(hashes) == max(0, len(text) - SHINGLE + 1)
    assert np.array_equal(_rolling("x" * shift + text)[shift:], hashes) or len(text) < SHINGLE
    passages = [text[i : i + SHINGLE] for i in range(len(hashes))]
    assert len(set(passages)) == len(set(hashes.tolist()))


def given_splits(folder: Path, **texts: list[str]) -> Data:
    path = {}
    for split, rows in texts.items():
        file = folder / f"{split}.jsonl"
        file.write_text("\n".join(json.dumps({"text": text}) for text in rows))
        path[split] = str(file)
    return Data.from_dict({"source": {"name": "jsonl", "path": path}})


def test_against_plain_python(tmp_path: Path, luban_data: Path) -> None:
    text = (luban_data / "tinyshakespeare/input.txt").read_text()
    train = [text[:20_000], text[30_000:50_000]]
    held = [text[15_000:33_333], "short", text[60_000:61_000]]
    found = overlap(given_splits(tmp_path, train=train, validation=held))["validation"]
    passages = [t[i : i + SHINGLE] for t in held for i in range(0, len(t) - SHINGLE + 1, STRIDE)]
    assert found.passages == len(passages)
    assert found.copied == sum(any(p in t for t in train) for p in passages)
    assert 0.3 < found.passage_share < 0.6
    assert (found.records, found.same) == (3, 0)


def test_same_records_up_to_case_and_blanks(tmp_path: Path) -> None:
    data = given_splits(
        tmp_path, train=["One  two", "三"], validation=["one TWO\n", "三", "three"], test=["four"]
    )
    found = overlap(data)
    assert (found["validation"].same, found["validation"].records) == (2, 3)
    assert found["test"].record_share == 0.0
    assert found["validation"].examples[0] == f"{tmp_path / 'validation.jsonl'}:1: 'one TWO'"
    with pytest.raises(DataError, match="2 of 3 validation records are in train too"):
        check_overlap(data, found)
    check_overlap(data.replace(max_overlap=0.7), found)


def test_nothing_held_out(tmp_path: Path) -> None:
    data = given_splits(tmp_path, train=["a"])
    assert overlap(data.replace(split=Split(validation=0.0, test=0.0))) == {}


def test_songci_overlap_is_found(luban_data: Path) -> None:
    source: dict[str, Any] = {"name": "json", "path": str(luban_data / "songci")}
    split = {"validation": ["ci.song.20000*"], "test": ["ci.song.21000*"]}
    data = Data.from_dict(
        {"source": {**source, "template": "{rhythmic}\n{paragraphs}"}, "split": split}
    )
    assert overlap(data)["test"].same == 4
    clean = data.replace(cleaners=("exact-duplicates",))
    assert overlap(clean)["test"].same == 0


def rows_by_split(folder: Path, **splits: list[dict[str, Any]]) -> Data:
    path = {}
    for split, rows in splits.items():
        file = folder / f"{split}.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)))
        path[split] = str(file)
    return Data.from_dict(
        {"source": {"name": "jsonl", "path": path}, "split": {"validation": 0.0, "test": 0.0}}
    )


def test_a_context_shared_between_splits_is_reported(tmp_path: Path) -> None:
    def question(text: str, context: str, number: int) -> dict[str, Any]:
        answers = [{"text": context[:3], "start": 0}]
        return {"id": str(number), "question": text, "context": context, "answers": answers}

    train = [question(f"what {i}?", f"passage {i // 4}", i) for i in range(40)]
    test = [question(f"why {i}?", f"passage {i}", i) for i in range(8, 12)]
    found = overlap(rows_by_split(tmp_path, train=train, test=test))["test"]
    assert (found.records, found.same) == (4, 0)
    assert found.parts == {"question": 0, "context": 2}
    again = overlap(rows_by_split(tmp_path, train=train, test=[{**train[0], "id": "new"}]))["test"]
    assert (again.same, again.parts) == (1, {"question": 1, "context": 1})


@pytest.mark.parametrize(
    ("kept", "other"),
    [
        ({"tokens": ["a", "b"], "tags": ["O", "O"]}, {"tokens": ["a", "c"], "tags": ["O", "O"]}),
        ({"source": "a", "target": "b"}, {"source": "a", "target": "c"}),
        ({"messages": [{"role": "user", "content": "a"}]}, {"messages": [{"role": "user"}]}),
        ({"query": "a", "choices": ["b", "c"]}, {"query": "a", "choices": ["b", "d"]}),
    ],
)
def test_records_without_text_are_told_apart(
    tmp_path: Path, kept: dict[str, Any], other: dict[str, Any]
) -> None:
    found = overlap(rows_by_split(tmp_path, train=[kept], test=[kept, other]))["test"]
    assert (found.records, found.same) == (2, 1)
    cleaner = Cleaner.from_dict("exact-duplicates")
    tally = Tally()
    assert list(cleaner.clean(iter([kept, other, kept]), tally)) == [kept, other]


def test_records_of_numbers_are_told_apart(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("test", 5)):
        rows = [json.dumps({"wave": [n, n + 1], "id": split}) for n in range(first, first + 10)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(rows))
    path = {split: str(tmp_path / f"{split}.jsonl") for split in ("train", "test")}
    found = overlap(
        Data.from_dict({"source": {"name": "jsonl", "path": path}, "split": {"validation": 0.0}})
    )
    assert found["test"].record_share == 0.5
