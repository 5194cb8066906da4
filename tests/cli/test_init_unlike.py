"""A few damaged records hide neither the task nor themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.life import done, luban


def rows(count: int = 120) -> list[dict[str, Any]]:
    return [
        {"text": f"{'good' if i % 2 else 'poor'} film {i}", "label": "pn"[i % 2]}
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"text": ["a"], "label": "p"}, "'text' is a list, not a text"),
        ({"text": "a", "label": {"x": 1}}, "'label' is a table, not a text"),
        ({"text": "a", "label": 3}, "'label' is a number, not a text"),
        ({"text": 7, "label": "p"}, "'text' is a number, not a text"),
    ],
)
@pytest.mark.parametrize("place", [0, 60, 120])
def test_one_damaged_record_hides_nothing(
    bad: dict[str, Any], told: str, place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text("\n".join(map(json.dumps, [*rows()[:place], bad, *rows()[place:]])))
    said = done("init", "a.jsonl", "--json").json
    assert said["task"] == "text-classification"
    assert said["classes"] == {"p": 60, "n": 60}
    assert any(f"a.jsonl:{place + 1}: {told}" in problem for problem in said["problems"])


def test_a_damaged_text_is_set_apart_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text("\n".join(map(json.dumps, [*rows(), {"text": ["a"], "label": "p"}])))
    done("init", "a.jsonl")
    assert "a.jsonl:121" in json.dumps(done("validate", "a.yaml", "--json").json)


def test_a_field_of_several_types_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mixed = [{**row, "text": [row["text"]]} if i % 9 == 0 else row for i, row in enumerate(rows())]
    Path("a.jsonl").write_text("\n".join(map(json.dumps, mixed)))
    assert luban("init", "a.jsonl").code == 2
