"""First recipes: for data of every kind, recognised by the tasks alone, valid and runnable."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from luban.cli.verbs import init
from luban.core import registry
from luban.data.files import formats
from luban.init import inspection as guess
from luban.recipe import Recipe
from tests.cli.test_init_media import DATA as MEDIA
from tests.life import done, luban

TEXT = "the cat sat on a mat and saw one small dog run home again today"
WORDS = TEXT.split()


def sentence(number: int) -> str:
    return " ".join(WORDS[(number * k) % len(WORDS)] for k in range(3, 11)) + f" {number}"


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def labelled(number: int) -> str:
    return ("good", "bad")[number % 2]


def messages(number: int) -> list[dict[str, str]]:
    asked = {"role": "user", "content": sentence(number)}
    return [asked, {"role": "assistant", "content": sentence(number + 1)}]


def question(number: int) -> dict[str, Any]:
    context = sentence(number)
    answers = [{"text": context[:3], "answer_start": 0}]
    qas = [{"id": str(number), "question": f"what {number}?", "answers": answers}]
    return {"context": context, "qas": qas}


COUNT = range(60)
#: What is written, by file name; and the task that reads it.
DATA: dict[str, tuple[Callable[[], dict[str, str]], str]] = {
    "text": (lambda: {"x.txt": "\n\n".join(map(sentence, range(200)))}, "text-generation"),
    "csv": (
        lambda: {
            "x.csv": "sentiment,review\r\n"
            + "".join(f"{labelled(i)},{sentence(i)}\r\n" for i in COUNT)
        },
        "text-classification",
    ),
    "tsv": (
        lambda: {"x.tsv": "".join(f'{sentence(i)} "\t{i % 3}\n' for i in COUNT)},
        "text-classification",
    ),
    "labelled lines": (
        lambda: {"x.train": "".join(f"{i % 2} {sentence(i)}\n" for i in COUNT)},
        "text-classification",
    ),
    "folders": (
        lambda: {f"x/{labelled(i)}/{i}.txt": sentence(i) for i in COUNT},
        "text-classification",
    ),
    "values": (
        lambda: {"x.jsonl": lines(*({"text": sentence(i), "score": i * i / 7} for i in COUNT))},
        "text-regression",
    ),
    "columns": (
        lambda: {
            "x.conll": "\n\n".join(
                "\n".join(f"{w} {'B-ANI' if w in ('cat', 'dog') else 'O'}" for w in s.split())
                for s in map(sentence, COUNT)
            )
        },
        "token-classification",
    ),
    "parallel": (
        lambda: {
            f"x/train.{side}": "".join(f"{side} {sentence(i)}\n" for i in COUNT)
            for side in ("de", "en")
        },
        "translation",
    ),
    "summaries": (
        lambda: {
            "x.jsonl": lines(
                *({"document": sentence(i) * 9, "summary": sentence(i)} for i in COUNT)
            )
        },
        "summarization",
    ),
    "questions": (
        lambda: {"x.json": json.dumps({"data": [{"paragraphs": [question(i) for i in COUNT]}]})},
        "question-answering",
    ),
    "messages": (
        lambda: {"x.jsonl": lines(*({"messages": messages(i)} for i in COUNT))},
        "instruction-tuning",
    ),
    "nested": (
        lambda: {
            "x.json": json.dumps(
                {
                    "items": [
                        {
                            "article": {"title": f"No {i}", "body": sentence(i)},
                            "meta": {"tags": ["even", "some"][i % 2 :], "by": "x"},
                        }
                        for i in COUNT
                    ]
                }
            )
        },
        "text-classification",
    ),
    "prompts": (
        lambda: {
            "x.jsonl": lines(*({"prompt": sentence(i), "completion": sentence(i)} for i in COUNT))
        },
        "instruction-tuning",
    ),
    "choices": (
        lambda: {
            "x.jsonl": lines(
                *(
                    {"query": sentence(i), "choices": ["yes", f"no {i}"], "gold": i % 2}
                    for i in COUNT
                )
            )
        },
        "multiple-choice",
    ),
}


def write(files: dict[str, str]) -> str:
    """Write files below the working directory; return the path to give to ``luban init``."""
    for name, content in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    return next(iter(files)).split("/")[0]


@pytest.mark.parametrize("kind", DATA)
def test_a_recipe_for_data_of_every_kind(kind: str, here: Path) -> None:
    make, task = DATA[kind]
    said = done("init", write(make()), "--json").json
    assert said["task"] == task
    recipe = Path(said["recipe"])
    text = recipe.read_text()
    assert len(text.splitlines()) < 30
    assert Recipe.read(recipe).task.name == task
    assert done("validate", str(recipe), "data.split={validation: 0.2, test: 0.2}").code == 0


def test_every_task_is_recognised_by_some_data() -> None:
    # Fill-mask reads any text, and so never comes first.
    seen = {task for _, task in DATA.values()} | {task for _, _, task in MEDIA.values()}
    assert set(registry.names("tasks")) - seen == {"fill-mask"}


@pytest.mark.parametrize("kind", ["csv", "columns"])
def test_the_recipe_runs(kind: str, here: Path) -> None:
    said = done("init", write(DATA[kind][0]()), "--json").json
    short = ["train.num_train_epochs=1", "data.split={validation: 0.2, test: 0.2}"]
    assert done("run", said["recipe"], *short).code == 0


def test_what_was_taken_for_what_and_what_else_it_could_be(here: Path) -> None:
    path = write(DATA["csv"][0]())
    said = luban("init", path)
    assert "text-classification: 'sentiment' has 2 values beside the text 'review'" in said.out
    assert "review as text" in said.out
    assert "--task text-generation: 'review' holds most text" in said.out
    assert "it could also be text-generation" in Path("x.yaml").read_text()
    other = done("init", path, "--task", "text-generation", "-o", "other.yaml", "--json").json
    assert (other["task"], other["source"]["fields"]) == ("text-generation", {"text": "review"})
    assert done("validate", "other.yaml").code == 0


def test_fields_in_tables_are_found_by_their_path(here: Path) -> None:
    said = done("init", write(DATA["nested"][0]()), "--json").json
    assert said["source"]["fields"] == {"text": "article.body", "label": "meta.tags"}


@pytest.mark.parametrize(
    ("files", "arguments", "said"),
    [
        ({"x.txt": ""}, [], "this file is empty"),
        ({"x.jsonl": '{"n": 1}\n'}, [], "there is no text"),
        ({"x.jsonl": '{"text": \n'}, [], "x.jsonl:1"),
        ({"x.json": "[1"}, [], "x.json:1"),
        ({"x.csv": "a,b\n1\n"}, [], "x.csv:2"),
        ({"x.txt": "some text"}, ["--task", "translation"], "cannot tell which fields"),
        ({"x.txt": "some text"}, ["--task", "text-genration"], "did you mean 'text-generation'"),
        ({"x.jsonl": '{"a": ["b"], "n": [["c"]]}\n'}, ["--task", "summarization"], "cannot tell"),
    ],
)
def test_bad_data_are_refused(
    files: dict[str, str], arguments: list[str], said: str, here: Path
) -> None:
    ran = luban("init", write(files), *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert not Path("x.yaml").exists()


CLASSIFY = {"name": "text-classification", "tokenizer": "char"}
PACKED = gzip.compress(lines(*({"text": sentence(i), "label": i % 2} for i in COUNT)).encode())
SIDES = {"source": "x.en", "target": "x.de"}


@pytest.mark.parametrize(
    ("files", "source", "said"),
    [
        ({"x.jsonl.gz": PACKED[:-30]}, {"name": "jsonl", "path": "x.jsonl.gz"}, "gzip file is"),
        ({"x.csv": "text,label\nfür,a\n".encode("latin-1")}, {"name": "csv"}, "not utf-8 text"),
        ({"x.conll": "für O\n".encode("latin-1")}, {"name": "conll"}, "not utf-8 text"),
        ({"x.jsonl": b""}, {"name": "jsonl"}, "is empty"),
        ({"x.conll": b"\n\n"}, {"name": "conll"}, "is empty"),
        ({"x.jsonl": b'{"text": "a"}\n' * 9}, {"name": "jsonl"}, "x.jsonl:1"),
        ({"x.conll": b"a O\nb\n"}, {"name": "conll"}, "x.conll:2"),
        (
            {"x.en": b"1\n2\n", "x.de": b"1\n"},
            {"name": "parallel", "path": SIDES},
            "x.en: 2 lines, x.de: 1 lines",
        ),
        ({"x.json": b'{"data": [{"paragraphs": [{}]}]}'}, {"name": "squad"}, "not a SQuAD file"),
    ],
)
def test_bad_files_are_the_users_fault(
    files: dict[str, bytes], source: dict[str, Any], said: str, here: Path
) -> None:
    for name, content in files.items():
        Path(name).write_bytes(content)
    whole = {"validation": 0.0, "test": 0.0}
    data = {"source": {"path": next(iter(files)), **source}, "split": whole}
    recipe = {"name": "x", "data": data, "task": CLASSIFY, "model": "textcnn"}
    Path("r.yaml").write_text(yaml.safe_dump(recipe))
    ran = luban("validate", "r.yaml")
    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_init_knows_no_task_by_name() -> None:
    for part in (init, guess, formats):
        text = Path(str(part.__file__)).read_text()
        assert not [name for name in registry.names("tasks") if name in text]
