"""Sources that tasks bring: columns, parallel files, folders, questions, patterned lines."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luban.core.contracts import Record, Source
from luban.core.errors import DataError, RecipeError
from luban.data.files.records import own_fields, shape
from luban.data.sources.conll import Conll

WORD = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="#"),
    min_size=1,
    max_size=6,
)


def read(split: str = "train", /, **fields: Any) -> list[dict[str, Any]]:
    return [own_fields(r) for r in Source.from_dict(fields).read(split)]


def refused(**fields: Any) -> DataError:
    with pytest.raises(DataError) as error:
        read(**fields)
    return error.value


# Columns


def conll(path: Path, content: str | bytes, **fields: Any) -> list[Record]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = Source.from_dict({"name": "conll", "path": str(path), **fields}).read("train")
    return [dict(record) for record in found]


@pytest.mark.parametrize(
    "content",
    [
        "a\tO\nb\tB-x\n\nc\tO\n",
        "a O\nb   B-x\n\n\n\nc O",
        "-DOCSTART- O\n\na O\nb B-x\n\t\nc O\n",
        "a O\r\nb B-x\r\n \r\nc O\r\n",
        "# a comment of words\na O\nb B-x\n\n# newdoc id = 1\nc O\n",
        "\ufeffa\tO \nb \t B-x\t\n\nc\tO\n",
    ],
)
def test_columns_in_any_layout(tmp_path: Path, content: str) -> None:
    found = conll(tmp_path / "x.conll", content)
    assert [(r["tokens"], r["tags"]) for r in found] == [
        (["a", "b"], ["O", "B-x"]),
        (["c"], ["O"]),
    ]


def test_columns_in_latin_1_by_name(tmp_path: Path) -> None:
    content = "Jürgen NNP B-NP B-PER\nläuft VBZ B-VP O\n".encode("latin-1")
    names = ["token", "pos", "chunk", "ner"]
    [record] = conll(tmp_path / "x", content, encoding="latin-1", columns=names, tags="ner")
    assert record["tokens"] == ["Jürgen", "läuft"]
    assert record["tags"] == ["B-PER", "O"]
    assert record["_where"] == f"{tmp_path / 'x'}:1"
    [chunks] = conll(tmp_path / "x", content, encoding="latin-1", tags=2)
    assert chunks["tags"] == ["B-NP", "B-VP"]
    with pytest.raises(DataError, match=r"not utf-8 text[\s\S]*latin-1"):
        conll(tmp_path / "x", content)
    with pytest.raises(RecipeError, match=r"no column 'nre'[\s\S]*did you mean 'ner'"):
        conll(tmp_path / "x", content, encoding="latin-1", columns=names, tags="nre")


def test_hash_signs_and_wide_blanks_are_tokens_too(tmp_path: Path) -> None:
    [record] = conll(tmp_path / "x", "# O\n#tag B-x\n\u3000 O\n\u00a0 O\n")
    assert record["tokens"] == ["#", "#tag", "\u3000", "\u00a0"]
    [kept] = conll(tmp_path / "x", "# O\na O\n", comment="# ")
    assert kept["tokens"] == ["a"]
    [named] = conll(tmp_path / "x", "New York|O\n", separator="|")
    assert named["tokens"] == ["New York"]
    [bare] = conll(tmp_path / "x", "a\nb\n", tags=None)
    assert own_fields(bare) == {"tokens": ["a", "b"]}


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("a O\nb\n", 2, "1 columns"),
        ("a O\n\nb O x\nc O\n", 3, "3 columns"),
        ("a\nb\n", 1, "no tag"),
    ],
)
def test_bad_columns_are_named(tmp_path: Path, content: str, line: int, said: str) -> None:
    with pytest.raises(DataError, match=said) as error:
        conll(tmp_path / "x", content)
    assert error.value.where == f"{tmp_path / 'x'}:{line}"


@given(
    sentences=st.lists(
        st.lists(st.tuples(WORD, st.sampled_from(["O", "B-x", "I-x"])), min_size=1, max_size=5),
        max_size=5,
    ),
    separator=st.sampled_from([" ", "\t", "  "]),
    ending=st.sampled_from(["\n", "\r\n"]),
    blank=st.sampled_from(["", " ", "\t"]),
)
def test_what_is_written_in_columns_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    sentences: list[list[tuple[str, str]]],
    separator: str,
    ending: str,
    blank: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / "columns"
    lines = [
        line
        for sentence in sentences
        for line in (*(f"{token}{separator}{tag}" for token, tag in sentence), blank)
    ]
    path.write_bytes(ending.join(lines).encode())
    found = list(Conll(path=str(path)).read("train"))
    assert [list(zip(r["tokens"], r["tags"], strict=True)) for r in found] == sentences


# Parallel files


def test_parallel_files(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_bytes(b"one\r\n\r\nthree \rand more\n")
    (tmp_path / "a.de.gz").write_bytes(gzip.compress(b"eins\n\ndrei"))
    sides = {"source": str(tmp_path / "a.en"), "target": str(tmp_path / "a.de.gz")}
    pairs = [
        {"source": "one", "target": "eins"},
        {"source": "three \rand more", "target": "drei"},
    ]
    assert read(name="parallel", path=sides) == pairs
    both = {"train": sides, "test": sides}
    source = Source.from_dict({"name": "parallel", "path": both})
    assert source.splits() == ("train", "test")
    assert len(source.files()) == 4
    assert [r["_where"] for r in source.read("test")] == [
        f"{tmp_path / 'a.en'}:1",
        f"{tmp_path / 'a.en'}:3",
    ]
    with pytest.raises(RecipeError, match="did you mean 'train'"):
        Source.from_dict({"name": "parallel", "path": {"trian": sides}}).splits()


def test_unequal_lengths_name_both_counts(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("1\n2\n3\n")
    (tmp_path / "a.de").write_text("1\n2\n3\n4\n5")
    sides = {"source": str(tmp_path / "a.en"), "target": str(tmp_path / "a.de")}
    error = refused(name="parallel", path=sides)
    assert "same number of lines" in error.what
    assert "a.en: 3 lines" in str(error)
    assert "a.de: 5 lines" in str(error)
    error = refused(name="parallel", path={**sides, "source": [*sides.values()]})
    assert "same number of files" in error.what


# Folders by label


def test_folders_by_label(tmp_path: Path) -> None:
    for label, count in (("good", 3), ("bad", 1)):
        for number in range(count):
            (tmp_path / "train" / label / "deeper").mkdir(parents=True, exist_ok=True)
            (tmp_path / "train" / label / "deeper" / f"{number}.txt").write_text(f"{label}{number}")
    found = read(name="folders", path=str(tmp_path / "train"))
    assert [r["label"] for r in found] == ["bad", "good", "good", "good"]
    assert found[1] == {"label": "good", "text": "good0"}
    stray = tmp_path / "train" / "x.txt"
    stray.write_text("stray")
    assert "no label's folder" in refused(name="folders", path=str(tmp_path / "train")).what
    stray.unlink()
    (tmp_path / "train" / "bad" / "empty.txt").touch()
    error = refused(name="folders", path={"train": str(tmp_path / "train")})
    assert str(error.where).endswith("empty.txt")
    assert "not a folder" in refused(name="folders", path=str(error.where)).what


# Questions


def squad(path: Path, *questions: dict[str, Any], context: str = "A fox. A fox!") -> Any:
    article = {"title": "T", "paragraphs": [{"context": context, "qas": list(questions)}]}
    path.write_text(json.dumps({"version": "x", "data": [article]}))
    return {"name": "squad", "path": str(path)}


def test_questions_are_flattened(tmp_path: Path) -> None:
    told = {"question": "q", "id": 7, "answers": [{"text": "fox", "answer_start": 9}]}
    none = {
        "question": "q",
        "id": "8",
        "is_impossible": True,
        "answers": [],
        "plausible_answers": [{"text": "fox", "answer_start": 2}],
    }
    open_ = {"question": "q", "id": "9"}
    source = squad(tmp_path / "x.json", told, none, open_)
    common = {"question": "q", "context": "A fox. A fox!", "title": "T"}
    assert read(**source) == [
        {**common, "id": "7", "answers": [{"text": "fox", "start": 9}]},
        {**common, "id": "8", "answers": []},
        {**common, "id": "9"},
    ]


def test_answers_are_looked_for_where_the_file_errs(tmp_path: Path) -> None:
    def stated(text: str, start: int) -> dict[str, Any]:
        return {"question": "q", "id": "1", "answers": [{"text": text, "answer_start": start}]}

    for text, start, found in [("fox", 8, 9), ("fox", 0, 2), ("fox", -1, 2)]:
        [record] = read(**squad(tmp_path / "x.json", stated(text, start)))
        assert record["answers"] == [{"text": text, "start": found}]


def test_cmrc_of_the_first_form(tmp_path: Path) -> None:
    question = {"query_text": "谁？", "query_id": "Q", "answers": ["狐", "狐"]}
    path = tmp_path / "x.json"
    path.write_text(json.dumps([{"context_id": "C", "context_text": "一只狐", "qas": [question]}]))
    [record] = read(name="squad", path=str(path))
    assert record["answers"] == [{"text": "狐", "start": 2}] * 2
    assert (record["question"], record["context"], record["id"]) == ("谁？", "一只狐", "Q")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"data": [', "not JSON"),
        ('{"data": {}}', "not a SQuAD file"),
        ('[{"text": "a"}]', "not a SQuAD file"),
        ('[{"context": "a", "qas": [{"id": "1"}]}]', "no 'question'"),
        ('[{"qas": [{"question": "q"}]}]', "no 'context'"),
        ('[{"context": "a", "qas": [{"question": "q", "answers": [7]}]}]', "no 'text'"),
    ],
)
def test_bad_questions_are_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    error = refused(name="squad", path=str(path))
    assert said in error.what
    assert str(path) in str(error.where)


# Lines and rows


def test_lines_that_a_pattern_takes_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"1 a: b\r\n\r\n0 c\r\n")
    fields = {"name": "lines", "path": str(path), "pattern": r"(?P<label>\d) (?P<text>.*)"}
    assert read(**fields, values={"label": {0: "no", 1: "yes"}}) == [
        {"label": "yes", "text": "a: b"},
        {"label": "no", "text": "c"},
    ]
    error = refused(**{**fields, "pattern": r"(?P<text>\d .)"})
    assert error.where == f"{path}:1"
    for pattern in ("(", "no groups"):
        with pytest.raises(RecipeError):
            Source.from_dict({**fields, "pattern": pattern})


def test_a_value_without_a_meaning_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"label": 1}\n{"label": [0, 1]}\n{"label": 2}\n')
    rows = Source.from_dict(
        {"name": "jsonl", "path": str(path), "values": {"label": {"0": "no", "1": "yes"}}}
    ).read("train")
    assert [next(rows)["label"], next(rows)["label"]] == ["yes", ["no", "yes"]]
    with pytest.raises(DataError, match=r"x\.jsonl:3[\s\S]*one of 0, 1"):
        dict(next(rows))


def test_quotes_that_are_characters(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text('"a\tb"\n"c" d\te"f\n')
    found = read(name="csv", path=str(path), columns=["x", "y"], quoting=False)
    assert found == [{"x": '"a', "y": 'b"'}, {"x": '"c" d', "y": 'e"f'}]


def test_shaping() -> None:
    row = {"a": {"b": ["x", "y"]}, "c": None, "d": 1, "_where": "f:1"}
    assert shape(row, {"n": "a.b.1", "l": "a.b", "t": "{a.b}!"}, join="+")["t"] == "x+y!"
    assert shape(row, {"n": "a.b.1"}, others=False) == {"n": "y", "_where": "f:1"}
    assert shape(row, {"l": "a.b"}, others=False)["l"] == ["x", "y"]
    assert shape(row, {}, template="{d}\n{c}\n\n{d} {c}")["text"] == "1\n\n1 "
    with pytest.raises(DataError, match=r"no field 'a\.z'"):
        shape(row, {"n": "{a.z}"})


@pytest.mark.parametrize("name", ["conll", "lines", "squad", "folders", "parallel"])
def test_a_damaged_gzip_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "label" / "x.txt"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(b"a O\n" * 10_000)[:-20])
    fields: dict[str, Any] = {"path": str(path)}
    if name == "parallel":
        fields = {"path": {"source": str(path), "target": str(path)}}
    elif name == "folders":
        fields = {"path": str(tmp_path)}
    elif name == "lines":
        fields["pattern"] = "(?P<text>.*)"
    error = refused(name=name, **fields)
    assert "gzip file is damaged" in error.what
    assert error.where == path
