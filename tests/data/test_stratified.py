"""Splits by label: every label has its share, and a new record moves hardly anything."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luban.core.errors import DataError
from luban.data.dataset import Data
from luban.data.split import Split

Rows = list[dict[str, Any]]


def dealt(rows: Rows, **how: Any) -> dict[str, str]:
    """Return the split of each text."""
    split = Split.from_dict({"by": "label", **how})
    told = split.assigner(iter(rows), "label")
    return {row["text"]: told(row) for row in rows}


def of(counts: dict[str, int]) -> Rows:
    return [{"text": f"{a} {i}", "label": a} for a, n in counts.items() for i in range(n)]


def test_every_label_has_its_share() -> None:
    found = dealt(of({"common": 400, "rare": 40}), validation=0.1, test=0.2)
    counts = Counter((text.split()[0], split) for text, split in found.items())
    assert counts["common", "test"] in (80, 81)
    assert counts["common", "validation"] in (40, 41)
    assert counts["rare", "test"] in (8, 9)
    assert counts["rare", "validation"] in (4, 5)


def test_many_small_labels_come_to_the_share_together() -> None:
    found = Counter(dealt(of({f"c{i}": 3 for i in range(300)}), validation=0.1, test=0.1).values())
    assert 60 <= found["test"] <= 120
    assert 60 <= found["validation"] <= 120


sizes = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 60), min_size=1)


@settings(max_examples=60, deadline=None)
@given(sizes, st.sampled_from([0.0, 0.05, 0.15, 0.3]), st.sampled_from([0.0, 0.05, 0.2]))
def test_laws(counts: dict[str, int], validation: float, test: float) -> None:
    rows = of(counts)
    shares = {"validation": validation, "test": test}
    found = dealt(rows, **shares)
    for label, count in counts.items():
        splits = Counter(found[row["text"]] for row in rows if row["label"] == label)
        assert splits["train"] >= 1
        for split, share in shares.items():
            fits = abs(splits[split] - share * count) < 1
            assert fits or splits[split] == 1 or splits["train"] == 1
    for split, share in shares.items():
        if 2 * share * len(rows) >= 1 and len(rows) > len(counts) + 1:
            assert split in found.values()
        if share == 0:
            assert split not in found.values()
    # The order of records is of no account.
    assert dealt(rows[::-1], **shares) == found


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(30, 80), min_size=1))
def test_a_new_record_moves_hardly_another(counts: dict[str, int]) -> None:
    rows = of(counts)
    shares = {"validation": 0.1, "test": 0.2}
    found = dealt(rows, **shares)
    now = dealt([*rows, {"text": "new", "label": rows[0]["label"]}], **shares)
    moved = [text.split()[0] for text in found if now[text] != found[text]]
    assert set(moved) <= {rows[0]["label"]}
    assert len(moved) <= 3  # out of train, from split to split, back into train


def test_equal_records_stay_together_and_labels_may_be_missing(tmp_path: Path) -> None:
    rows: Rows = [{"text": f"t{i % 50}", "label": i % 2} for i in range(100)] + [{"text": "none"}]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    data = Data.from_dict(
        {"source": {"name": "jsonl", "path": str(path)}, "split": {"by": "label", "test": 0.2}}
    )
    texts = [{r["text"] for r in data.records(s)} for s in ("train", "validation", "test")]
    assert not texts[0] & texts[1] | texts[0] & texts[2] | texts[1] & texts[2]
    assert set().union(*texts) == {row["text"] for row in rows}
    assert "of every value of 'label' its share" in data.split_rule()


@pytest.mark.parametrize("key", ["", "kind.name"])
def test_the_label_is_any_field(key: str) -> None:
    rows: Rows = [{"text": str(i), "label": "x", "kind": {"name": i % 4}} for i in range(80)]
    found = dealt(rows, key=key, validation=0.0, test=0.25)
    kinds = Counter(int(text) % 4 for text, split in found.items() if split == "test")
    assert sum(kinds.values()) in range(19, 25)
    if key:
        assert set(kinds.values()) <= {5, 6}


def test_a_field_that_no_record_has_is_refused() -> None:
    with pytest.raises(DataError, match="no record has the field"):
        dealt(of({"a": 9}), key="nothing.here")
