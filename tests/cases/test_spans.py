"""Entities in characters: what is learned, scored and told stands at the same places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from luban.core.contracts import Cleaner, Tally
from luban.stages import _preview
from tests.life import Said, done, luban

_NAMES = ["Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald"]
_TRAIN = {"max_steps": 2, "batch_size": 4, "precision": "fp32", "compile": "off", "save_steps": 2}
_BERT = {
    "name": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}


def people(count: int = 200) -> list[dict[str, Any]]:
    """Texts with one entity each, which stands at whole words."""
    rows = []
    for row in range(count):
        name = _NAMES[row % len(_NAMES)]
        text = f"In {1700 + row}, {name} waits."
        start = text.index(name)
        span = {"start": start, "end": start + len(name), "type": "person"}
        rows.append({"text": text, "entities": [span]})
    return rows


def prepared(folder: Path, rows: list[dict[str, Any]], *arguments: str, **task: Any) -> Said:
    """Write rows and a recipe; prepare them."""
    write(folder, rows, **task)
    return luban("prepare", "recipe.yaml", *arguments)


def write(folder: Path, rows: list[dict[str, Any]], **task: Any) -> None:
    """Write rows and a recipe."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "spans",
        "data": {
            "source": {"name": "jsonl", "path": "rows.jsonl"},
            "split": {"validation": 0.2, "test": 0.2},
        },
        "task": {"name": "token-classification", "tokenizer": "char", **task},
        "model": _BERT,
        "train": _TRAIN,
        "evaluate": {"bootstrap_rounds": 100},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))


def claims(folder: Path) -> dict[str, Any]:
    """The values that ``prepare`` reports."""
    report = json.loads((folder / "runs/spans/reports/prepare.json").read_text())
    return {name: claim["value"] for name, claim in report["claims"].items()}


def in_all(found: dict[str, Any], act: str) -> int:
    return sum(value for name, value in found.items() if name.endswith(f"/{act}"))


TRIMMED = "entities without the blanks at their edges"
WIDENED = "entities widened to whole words"
SHARED = "entities cut or dropped that share a word with another"


def _blank(row: dict[str, Any]) -> None:
    row["entities"][0]["end"] += 1
    row["entities"][0]["start"] -= 1


def _inside(row: dict[str, Any]) -> None:
    row["entities"][0]["end"] -= 1


def _two(row: dict[str, Any]) -> None:
    span = row["entities"][0]
    middle = span["start"] + 1
    row["entities"] = [{**span, "end": middle}, {**span, "start": middle}]


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (_blank, {TRIMMED: 3, WIDENED: 0, SHARED: 0}),
        (_inside, {TRIMMED: 0, WIDENED: 3, SHARED: 0}),
        (_two, {TRIMMED: 0, WIDENED: 3, SHARED: 3}),
    ],
    ids=["N1 blanks at the edges", "N2 inside a word", "two in a word"],
)
def test_entities_off_the_words_are_moved_counted_and_named(
    here: Path, change: Any, counts: dict[str, int]
) -> None:
    rows = people()
    for row in (3, 17, 31):
        change(rows[row])
    said = prepared(here, rows)
    assert said.code == 0, said.err
    found = claims(here)
    assert {act: in_all(found, act) for act in counts} == counts
    reached = [value for name, value in found.items() if name.endswith("reachable entity-f1")]
    assert reached == [1.0] * 3, "what is scored is what a prediction can say"
    for act, times in counts.items():
        assert (act in said.err) == bool(times)
    assert "rows.jsonl:4" in said.err, "the rows are named"


def test_too_many_are_refused_and_characters_are_the_way_out(here: Path) -> None:
    rows = people()
    for row in rows[::2]:
        _inside(row)
    said = prepared(here, rows)
    assert said.code == 2
    assert "prepare.max_adjusted" in said.err
    assert "task.units=characters" in said.err
    assert prepared(here, rows, "prepare.max_adjusted=1").code == 0
    said = prepared(here, rows, "name=characters", units="characters")
    assert said.code == 0, said.err
    report = json.loads((here / "runs/characters/reports/prepare.json").read_text())
    values = {name: claim["value"] for name, claim in report["claims"].items()}
    assert in_all(values, WIDENED) == 0
    assert values["test/reachable entity-f1"] == 1.0


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("李白生于碎叶", "李白"),
        ("वह हिन्दी बोलता है", "हिन्दी"),
        ("ผมไปกรุงเทพมหานครครับ", "กรุงเทพมหานคร"),
        ("می‌خواهم به تهران بروم", "تهران"),
        ("Renée e\u0301tait là", "e\u0301tait"),
    ],
    ids=["Chinese", "Hindi", "Thai", "Persian", "accents apart"],
)
def test_words_are_words_in_every_script(here: Path, text: str, entity: str) -> None:
    start = text.index(entity)
    span = {"start": start, "end": start + len(entity), "type": "x"}
    said = prepared(here, [{"text": f"{row} {text}", "entities": [
        {**span, "start": start + len(str(row)) + 1, "end": start + len(entity) + len(str(row)) + 1}
    ]} for row in range(60)])  # fmt: skip
    assert said.code == 0, said.err
    found = claims(here)
    assert in_all(found, WIDENED) == 0
    assert found["test/reachable entity-f1"] == 1.0


def test_a_whole_life_says_what_was_moved(here: Path) -> None:
    rows = people()
    for row in rows[:3]:
        _inside(row)
    prepared(here, rows)
    done("run", "recipe.yaml")
    card = (here / "runs/spans/README.md").read_text()
    assert WIDENED in card
    assert "reachable entity-f1" in card
    assert "rows.jsonl:" in card.split("## Limits")[1]
    done("verify", "runs/spans")


def test_what_no_prediction_can_reach_is_a_warning(here: Path) -> None:
    rows = people()
    for row in rows[::4]:
        row["text"] = "well " * 20 + row["text"]
        span = row["entities"][0]
        row["entities"] = [{**span, "start": span["start"] + 100, "end": span["end"] + 100}]
    said = prepared(here, rows, "prepare.max_truncated=1", max_length=64)
    assert said.code == 0, said.err
    assert claims(here)["train/reachable entity-f1"] < 0.9
    assert "no prediction can reach more than" in said.err


@pytest.mark.parametrize(
    ("cleaner", "text", "marked"),
    [
        ("unicode", "Cafe\u0301: Ada waits", "Ada"),
        ("unicode", "one\r\ntwo\x07 Rene\u0301e", "Rene\u0301e"),
        ({"name": "unicode", "form": "NFKC"}, "of\ufb01ce \uff21da ok", "\uff21da"),
        ({"name": "regex", "pattern": " +", "replace_with": " "}, "In  the   dark,  Ada", "Ada"),
        ({"name": "regex", "pattern": "x*", "replace_with": "-"}, "xx Ada", "Ada"),
    ],
    ids=["N4", "lines and controls", "NFKC", "blanks", "insertions"],
)
def test_a_cleaner_takes_entities_and_answers_along(cleaner: Any, text: str, marked: str) -> None:
    clean = Cleaner.from_dict(cleaner).clean
    start = text.index(marked)
    entity = {"start": start, "end": start + len(marked), "type": "p"}
    answers = {"text": [marked], "answer_start": [start]}
    tally = Tally()
    tagged, asked = clean(
        [{"text": text, "entities": [entity]}, {"context": text, "answers": answers}], tally
    )
    (alone,) = clean([{"text": marked}], Tally())
    found = tagged["entities"][0]
    inside = tagged["text"][found["start"] : found["end"]]
    assert inside.strip("-") == alone["text"].strip("-")  # not what is put in beside it
    at = asked["answers"]["answer_start"][0]
    assert asked["context"][at:].startswith(asked["answers"]["text"][0])
    assert asked["answers"]["text"][0] == tagged["text"][found["start"] : found["end"]]
    assert tally.counts


def test_what_is_cut_through_by_a_cleaner_is_dropped_and_counted() -> None:
    cleaner = Cleaner.from_dict({"name": "regex", "pattern": "Ada waits", "replace_with": "X"})
    tally = Tally()
    record = {"text": "So Ada waits", "entities": [{"start": 3, "end": 6, "type": "p"}]}
    assert not list(cleaner.clean([record], tally))
    assert sum(n for act, n in tally.counts.items() if act.startswith("dropped")) == 1


def test_text_in_lists_and_tables_is_cleaned_too() -> None:
    record = {"messages": [{"role": "user", "content": "e\u0301"}], "tokens": ["e\u0301"]}
    (found,) = Cleaner.from_dict("unicode").clean([record], Tally())
    assert found["messages"][0]["content"] == found["tokens"][0] == "\u00e9"


def test_validate_says_what_prepare_will_do(here: Path) -> None:
    """Also with rows far behind the first ones."""
    rows = people(3600)
    bad = len(rows) - 5
    rows[bad] = {**rows[bad], "entities": rows[bad]["entities"] * 2}
    start = rows[-1]["entities"][0]["start"]
    rows[-1] = {**rows[-1], "entities": [{**rows[-1]["entities"][0], "end": start + 2}]}
    write(here, rows)
    facts = done("validate", "recipe.yaml", "--json").json
    (apart,) = [text for name, text in facts.items() if name.endswith(" set apart")]
    (answers,) = [text for name, text in facts.items() if name.endswith(" noted")]
    assert f"rows.jsonl:{bad + 1}: two entities overlap" in apart
    assert "1 entities widened to whole words" in answers
    assert f"rows.jsonl:{len(rows)}" in answers
    said = luban("prepare", "recipe.yaml")
    assert said.code == 0, said.err
    assert f"set apart: rows.jsonl:{bad + 1}: two entities overlap" in said.err
    assert "1 entities widened to whole words" in said.err


@pytest.mark.parametrize("bound", ["max_unreadable", "max_adjusted"])
def test_validate_refuses_what_prepare_refuses(here: Path, bound: str) -> None:
    rows = people()
    for row in rows[::4]:
        if bound == "max_unreadable":
            row["entities"] *= 2
        else:
            row["entities"][0]["end"] -= 1
    write(here, rows)
    for verb in ("validate", "prepare"):
        said = luban(verb, "recipe.yaml")
        assert said.code == 2, (verb, said.err)
        assert bound in said.err


def test_of_large_data_a_sample_from_all_over_is_looked_at(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It need not hold every label: that is told, and refused by ``prepare`` alone."""
    monkeypatch.setattr(_preview, "LOOK", 60)
    monkeypatch.setattr(_preview, "LEARN", 60)
    rows = people(1600)
    rows[len(rows) // 2] = {**rows[0], "entities": [{**rows[0]["entities"][0], "type": "rare"}]}
    write(here, rows)
    facts = done("validate", "recipe.yaml", "--json").json
    assert "60 from all over them looked at" in facts["train records"]
    for row in rows[::3]:
        row["entities"] = row["entities"] * 2
    write(here, rows)
    said = luban("validate", "recipe.yaml")
    assert said.code == 2
    assert "two entities overlap" in said.err
