"""Rows of texts and tables: every one is read, or set apart with its reason, or refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from luban.core.contracts import Record, SetApart, Source
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
    assert done("verify", "runs/small").code == 0


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
