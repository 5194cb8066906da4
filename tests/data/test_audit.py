"""Rows that teach nothing are named before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luban.core.contracts import Example, Supervision
from luban.core.errors import DataError
from luban.data.checks.audit import audit
from luban.data.store import Store, build
from tests.data.toy import ToyTask, toy


def stored(folder: Path, task: ToyTask, *texts: str) -> Store:
    records = [{"text": text, "_where": f"f.txt:{i}"} for i, text in enumerate(texts, 1)]
    return build(task, records, folder / "s")


def test_counts(tmp_path: Path) -> None:
    task = toy(["ab"])
    found = audit(task, stored(tmp_path, task, "ab", "b", *["a"] * 20, "a" * 101))
    assert (found.examples, found.supervised, found.empty, found.truncated) == (23, 124, 0, 1)
    assert found.truncated_rows == ("f.txt:23",)
    assert found.ends is None


def test_empty_rows_are_named(tmp_path: Path) -> None:
    task = toy(["ab"])
    store = stored(tmp_path, task, "ab", *[""] * 12)
    with pytest.raises(DataError, match="12 of 13 rows carry nothing") as error:
        audit(task, store)
    assert error.value.where == ", ".join(f"f.txt:{i}" for i in range(2, 12))
    assert audit(task, store, max_empty=0.95).empty == 12


def test_cut_answers_are_named(tmp_path: Path) -> None:
    task = toy(["ab"])
    store = stored(tmp_path, task, "a" * 101, "ab")
    with pytest.raises(DataError, match=r"f\.txt:1: the answers of 1 of 2 rows are cut off"):
        audit(task, store)
    assert audit(task, store, max_truncated=0.5).truncated == 1


class Endless(ToyTask):
    """Supervises an end only in texts that hold a full stop."""

    def supervision(self, example: Example) -> Supervision:
        ids: Any = example["ids"]
        return Supervision(len(ids), ends=bool(len(ids) > 2))


def test_an_end_that_is_never_supervised(tmp_path: Path) -> None:
    task = Endless(tokenizer=toy(["ab"]).tokenizer)
    with pytest.raises(DataError, match="would never stop"):
        audit(task, stored(tmp_path, task, "a", "b"))
    assert audit(task, stored(tmp_path / "b", task, "a", "bbb")).ends == 1
