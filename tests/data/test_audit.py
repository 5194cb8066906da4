"""Rows that teach nothing are named before training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from luban.core.contracts import Example, TargetSummary, Task
from luban.core.errors import DataError
from luban.data.checks.audit import audit
from luban.data.store import Store, build
from tests.contracts.makers import make, variants
from tests.contracts.records import RECORDS
from tests.data.toy import ToyTask, toy


def stored(folder: Path, task: ToyTask, *texts: str) -> Store:
    records = [{"text": text, "_where": f"f.txt:{i}"} for i, text in enumerate(texts, 1)]
    return build(task, records, folder / "s")


def test_counts(tmp_path: Path) -> None:
    task = toy(["ab"])
    found = audit(task, stored(tmp_path, task, "ab", "b", *["a"] * 20, "a" * 101))
    assert (found.examples, found.supervised, found.truncated) == (23, 124, 1)
    assert found.truncated_rows == ("f.txt:23",)
    assert found.ends is None


def test_empty_rows_are_set_apart(tmp_path: Path) -> None:
    task = toy(["ab"])
    store = stored(tmp_path, task, "ab", *[""] * 12)
    assert (len(store), len(store.apart)) == (1, 12)
    assert store.apart.lines[0] == "f.txt:2: there is nothing to learn from."
    with pytest.raises(
        DataError, match=r"12 of 13 .* a share of 0.9 \(prepare.max_empty\)"
    ) as error:
        store.apart.check(13, unreadable=1, empty=0.9)
    assert error.value.where == "f.txt:2"


def test_cut_answers_are_named(tmp_path: Path) -> None:
    task = toy(["ab"])
    store = stored(tmp_path, task, "a" * 101, "ab")
    with pytest.raises(DataError, match=r"f\.txt:1: the answers of 1 of 2 rows are cut off"):
        audit(task, store)
    assert audit(task, store, max_truncated=0.5).truncated == 1


def emptied(value: Any) -> Any:
    """Return a value of a record with every text empty."""
    if isinstance(value, str):
        return ""
    if isinstance(value, Mapping):
        return {key: value[key] if key == "role" else emptied(value[key]) for key in value}
    return [emptied(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("kind", "name", "fields"), variants("tasks"))
def test_every_task_sets_apart_what_teaches_nothing(
    kind: str, name: str, fields: dict[str, Any], samples: Path, tmp_path: Path
) -> None:
    records = RECORDS[name]
    task = make(Task, name, fields, samples).learn(records)
    bare = [
        {key: one[key] if key in ("label", "value", "gold") else emptied(one[key]) for key in one}
        for one in records
    ]
    rows = [
        {**one, "_where": f"rows:{number}"}
        for number, one in enumerate((*records, *bare, *records), 1)
    ]
    kept = build(task, rows, tmp_path / "store")
    assert all(task.target_summary(kept[index]).count for index in range(len(kept)))
    assert len(kept) + len(kept.apart) == len(rows)
    assert len(kept) >= 2 * len(records)
    if "text" in records[0]:
        assert len(kept.apart) == len(bare)


class Endless(ToyTask):
    """Supervises an end only in texts that hold a full stop."""

    def target_summary(self, example: Example) -> TargetSummary:
        ids: Any = example["ids"]
        return TargetSummary(len(ids), ends=bool(len(ids) > 2))


def test_an_end_that_is_never_supervised(tmp_path: Path) -> None:
    task = Endless(tokenizer=toy(["ab"]).tokenizer)
    with pytest.raises(DataError, match="would never stop"):
        audit(task, stored(tmp_path, task, "a", "b"))
    assert audit(task, stored(tmp_path / "b", task, "a", "bbb")).ends == 1
