"""The very files that a run was trained on, and others of their form, can be given to predict."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from luban.recipe import Recipe
from tests.cases.layouts import COUNT, as_json, hanzi, jsonl, sentence, table, text, write
from tests.cases.layouts_media import emnist_letters
from tests.life import done, luban

SMALL = ["train.compile=off", "train.precision=fp32", "train.max_steps=2", "train.batch_size=8"]


def trained(path: str, *changes: str) -> str:
    """The run of the first recipe for a path, trained a little."""
    said = done("init", path, "--output", "run.yaml", "--json").json
    done("train", said["recipe"], "data.split={validation: 0.2, test: 0.2}", *SMALL, *changes)
    return "runs/run"


def predicted(run: str, path: str, *options: str) -> list[dict[str, Any]]:
    """What is predicted of a file: all rows must be good."""
    said = done("predict", run, "--input", path, *options).out
    return [json.loads(line) for line in said.splitlines()]


def unplaced(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is predicted, without the lines: a header is one."""
    return [{key: value for key, value in row.items() if key != "row"} for row in rows]


def test_columns_without_a_header(here: Path) -> None:
    table("reviews.tsv", ((i % 2, sentence(i)) for i in COUNT))
    run = trained("reviews.tsv")
    assert len(predicted(run, "reviews.tsv")) == 48
    write("packed.tsv.gz", Path("reviews.tsv").read_bytes())
    assert predicted(run, "packed.tsv.gz") == predicted(run, "reviews.tsv")
    jsonl("plain.jsonl", ({"text": sentence(i)} for i in COUNT))
    as_json("list.json", [{"text": sentence(i)} for i in COUNT])
    text("lines.txt", (sentence(i) for i in COUNT))
    text("stray.txt", (sentence(i).replace(" ", "\r", 1) for i in COUNT))
    assert len(predicted(run, "stray.txt")) == 48
    every = [predicted(run, name) for name in ("plain.jsonl", "list.json", "lines.txt")]
    assert every[0] == every[1] == every[2]
    labels = [row["label"] for row in every[0]]
    assert labels == [row["label"] for row in predicted(run, "reviews.tsv")]


def test_headers_that_differ_from_those_of_training(here: Path) -> None:
    rows = [(i % 2, sentence(i)) for i in COUNT]
    table("bare.tsv", rows)
    run = trained("bare.tsv")
    columns = Recipe.read(Path("run.yaml")).data.source.to_dict()["columns"]
    table("same.tsv", [tuple(columns), *rows])
    assert unplaced(predicted(run, "same.tsv")) == unplaced(predicted(run, "bare.tsv"))
    table("named.tsv", [("stars", "review"), *rows])
    said = luban("predict", run, "--input", "named.tsv")
    assert (said.code, "looks like the names of columns" in said.err) == (2, True), said.err
    named = predicted(run, "named.tsv", "header=true")
    assert unplaced(named) == unplaced(predicted(run, "bare.tsv"))
    assert len(predicted(run, "named.tsv", "header=false")) == len(rows) + 1


def test_a_first_row_without_a_header_is_not_lost(here: Path) -> None:
    rows = [(i % 2, sentence(i)) for i in COUNT]
    table("train.csv", [("label", "text"), *rows], ",")
    run = trained("train.csv")
    table("bare.csv", rows, ",")
    said = luban("predict", run, "--input", "bare.csv")
    assert (said.code, "looks like data" in said.err) == (2, True), said.err
    named = predicted(run, "bare.csv", "columns=[label, text]")
    assert unplaced(named) == unplaced(predicted(run, "train.csv"))


def test_fields_and_values_of_the_recipe_without_answers(here: Path) -> None:
    rows = [{"review": {"body": sentence(i)}, "stars": i % 2} for i in COUNT]
    as_json("all.json", {"items": rows})
    run = trained("all.json", "data.source.values={label: {'0': bad, '1': good}}")
    assert {row["label"] for row in predicted(run, "all.json")} <= {"bad", "good"}
    as_json("new.json", {"items": [{"review": {"body": sentence(i)}} for i in COUNT]})
    assert predicted(run, "new.json") == predicted(run, "all.json")
    as_json("odd.json", {"items": [{**row, "stars": 7} for row in rows]})
    assert predicted(run, "odd.json") == predicted(run, "all.json")
    jsonl("rows.jsonl", rows)
    assert predicted(run, "rows.jsonl") == predicted(run, "all.json")


def test_another_encoding(here: Path) -> None:
    rows = [("label", "text"), *((i % 2, hanzi(i)) for i in COUNT)]
    table("train.csv", rows, ",", "gb18030")
    run = trained("train.csv")
    assert len(predicted(run, "train.csv")) == 48


def test_columns_of_tokens(here: Path) -> None:
    lines = []
    for i in COUNT:
        lines += [f"{w}\t{'B-ANI' if w in ('dog', 'men') else 'O'}" for w in sentence(i).split()]
        lines.append("")
    text("ner.conll", lines)
    run = trained("ner.conll")
    assert len(predicted(run, "ner.conll")) == 48
    text("bare.conll", (line.split("\t")[0] for line in lines))
    assert predicted(run, "bare.conll", "--format", "conll") == predicted(run, "ner.conll")


def test_one_side_of_parallel_text(here: Path) -> None:
    for side in ("de", "en"):
        text(f"pairs/train.{side}.gz", (f"{side} {sentence(i)}" for i in COUNT))
    run = trained("pairs", "model.hidden_size=16", "task.tokenizer=char")
    assert len(predicted(run, "pairs/train.en.gz")) == 48
    Path("plain.en").write_bytes(gzip.decompress(Path("pairs/train.en.gz").read_bytes()))
    assert predicted(run, "plain.en") == predicted(run, "pairs/train.en.gz")


def test_questions_about_passages(here: Path) -> None:
    def about(number: int) -> dict[str, Any]:
        context = sentence(number, 12)
        answers = [{"text": context[:3], "answer_start": 0}]
        asked = {"id": f"q{number}", "question": f"what {number}?", "answers": answers}
        return {"context": context, "qas": [asked]}

    as_json("squad.json", {"data": [{"paragraphs": [about(i) for i in COUNT]}]})
    run = trained("squad.json", "model.hidden_size=16", "model.num_attention_heads=2")
    assert [row["id"] for row in predicted(run, "squad.json")] == [f"q{i}" for i in COUNT]


def test_arrays_of_images(here: Path) -> None:
    emnist_letters()
    run = trained(
        "letters", "task.augmentations=[]", "model.hidden_sizes=[4, 4]", "model.embedding_size=4"
    )
    packed = "letters/emnist-letters-test-images-idx3-ubyte.gz"
    assert len(predicted(run, packed)) == 24


@pytest.mark.parametrize("folder", ["docs", "docs/pos"])
def test_folders_of_texts(folder: str, here: Path) -> None:
    for kind in ("neg", "pos"):
        for i in range(24):
            write(f"docs/{kind}/{i}.txt", f"{kind} {sentence(i)}\n{sentence(i + 1)}")
    run = trained("docs")
    assert len(predicted(run, folder)) == (48 if folder == "docs" else 24)


def test_a_form_that_a_file_does_not_have_is_one_error(here: Path) -> None:
    jsonl("rows.jsonl", ({"text": sentence(i), "label": i % 2} for i in COUNT))
    run = trained("rows.jsonl")
    for form in ("folders", "coco", "voc", "yolo", "squad", "parquet"):
        said = luban("predict", run, "--input", "rows.jsonl", "--format", form)
        assert (said.code, "Traceback" in said.err) == (2, False), (form, said.err)
