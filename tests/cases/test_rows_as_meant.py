"""Rows are what their writers meant: headers where columns are given, and annotation tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luban.core.errors import DataError
from tests.cases.test_rows import read

pytestmark = pytest.mark.usefixtures("here")


def test_a_header_where_columns_are_given_is_no_row() -> None:
    rows = "abc,good\nabd,bad\nxx,bad\n"
    Path("same.csv").write_text(f"text,label\n{rows}")
    fields: dict[str, Any] = {"name": "csv", "path": "same.csv", "columns": ["text", "label"]}
    assert [record["text"] for record in read(**fields)[0]] == ["abc", "abd", "xx"]
    Path("other.csv").write_text(f"review,label\n{rows}")
    fields["path"] = "other.csv"
    with pytest.raises(DataError, match="looks like the names of columns, not like data"):
        read(**fields)
    assert len(read(**fields, header=True)[0]) == 3
    assert len(read(**fields, header=False)[0]) == 4


def test_what_annotation_tools_write_is_read_as_it_is_meant() -> None:
    def marked(start: int, end: int, said: str) -> dict[str, Any]:
        return {"type": "labels", "value": {"start": start, "end": end, "text": said,
                                            "labels": ["PER"]}}  # fmt: skip

    face = "\U0001f600"
    rows = [
        {"data": {"body": f"{face} Ada"}, "annotations": [{"result": [marked(3, 6, "Ada")]}]},
        {"data": {"text": "fine"}, "annotations": [
            {"result": [], "was_cancelled": True},
            {"result": [{"type": "choices", "value": {"choices": ["good"]}}]}]},
        ["Ada ran", {"entities": [[0, 3, "PER"]]}],
    ]  # fmt: skip
    Path("t.json").write_text(json.dumps(rows))
    good, apart = read(name="json", path="t.json")
    assert apart == []
    spans, choice, spacy = good
    assert spans["text"] == f"{face} Ada"
    assert spans["entities"] == [{"start": 2, "end": 5, "type": "PER"}]
    assert (choice["text"], choice["label"]) == ("fine", "good")
    assert (spacy["text"], spacy["entities"]) == ("Ada ran", [[0, 3, "PER"]])
