"""Questions about passages: SQuAD 1.1 and 2.0, and CMRC, one record a question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from luban.core.contracts import Record
from luban.core.errors import DataError
from luban.core.yaml_json import parse_json
from luban.data.checks.set_apart import tried
from luban.data.files.reading import open_text
from luban.data.sources._files import FileSource
from luban.data.text.occurrences import nearest_occurrence


class Squad(FileSource):
    """SQuAD files, plain or gzip; a record has ``question``, ``context``, ``answers`` and ``id``.

    ``answers`` is a list of ``{text, start}``, empty where the question has none in its context,
    absent where the file tells no answers. An answer that does not stand where the file says
    gets the nearest place where it does, or -1 if the context does not hold it; a question none of
    whose answers stands in its context is set apart. An article's ``title`` is kept.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".json",)
    encoding: str = Field(default="utf-8", description="A codec of Python's.")

    def read_file(self, path: Path) -> Iterator[Record]:
        """Yield the questions of one file, numbered from 1."""
        number = 0
        ids = dict[str, str]()
        for article in _articles(self._parsed(path), path):
            for paragraph in article.get("paragraphs", [article]):
                for question in paragraph.get("qas", ()):
                    number += 1
                    where = f"{path}:{number}"
                    _note_id(question, ids, where)
                    yield tried(partial(_record, question, paragraph, article, where), where)

    def facts(self) -> Mapping[str, str]:
        """Return how many answers were looked for in their contexts, if any were."""
        moved, first = 0, ""
        for path in self.files():
            for article in _articles(self._parsed(path), path):
                for paragraph in article.get("paragraphs", [article]):
                    found = _moved(paragraph)
                    moved, first = moved + len(found), first or next(iter(found), "")
        if not moved:
            return {}
        return {"answers moved": f"{moved:,} stand elsewhere than the file says ({first!r})"}

    def _parsed(self, path: Path) -> Any:
        with open_text(path, self.encoding) as file:
            return parse_json(file.read(), path)


def _articles(data: Any, path: Path) -> list[dict[str, Any]]:
    articles = data.get("data") if isinstance(data, dict) else data
    if not isinstance(articles, list) or not all(_is_article(item) for item in articles):
        raise DataError(
            "this is not a SQuAD file.",
            where=path,
            expected='{"data": [{"paragraphs": [{"context": …, "qas": […]}]}]}',
            got=data,
            fix="flat records are read by `name: json` or `jsonl`.",
        )
    return articles


def _is_article(item: Any) -> bool:
    paragraphs = item.get("paragraphs", [item]) if isinstance(item, dict) else None
    return isinstance(paragraphs, list) and all(
        isinstance(p, dict) and isinstance(p.get("qas"), list) for p in paragraphs
    )


def _note_id(question: Any, ids: dict[str, str], where: str) -> None:
    """Remember where the id of a question stands.

    Raises:
        DataError: if another has it: predictions by id would go to either.
    """
    table = question if isinstance(question, dict) else {}
    name = table.get("id", table.get("query_id"))
    if name is None:
        return
    if str(name) in ids:
        raise DataError(
            f"two questions have the id {str(name)!r}.",
            where=where,
            got=f"questions {ids[str(name)].rpartition(':')[2]} and {where.rpartition(':')[2]}",
            fix="give each question an id of its own, or remove one of them.",
        )
    ids[str(name)] = where


def _moved(paragraph: Mapping[str, Any]) -> list[str]:
    """Return the answers of a paragraph that stand elsewhere than the file says."""
    context = paragraph.get("context", paragraph.get("context_text"))
    if not isinstance(context, str):
        return []  # its questions are set apart
    answers = [
        answer
        for question in paragraph["qas"]
        if isinstance(question, dict) and not question.get("is_impossible")
        if isinstance(given := question.get("answers"), list)
        for answer in given
        if isinstance(answer, dict)
    ]
    places = [(answer.get("answer_start", answer.get("start", -1)), answer) for answer in answers]
    told = [(at, str(answer.get("text"))) for at, answer in places if isinstance(at, int)]
    return [t for at, t in told if at >= 0 and t in context and context[at : at + len(t)] != t]


def _record(
    question: Any, paragraph: Mapping[str, Any], article: Mapping[str, Any], where: str
) -> dict[str, Any]:
    context = _string(paragraph, ("context", "context_text"), where)
    table = question if isinstance(question, dict) else {}
    record: dict[str, Any] = {
        "question": _string(table, ("question", "query_text"), where),
        "context": context,
        "id": str(table.get("id", table.get("query_id", where))),
        "_where": where,
    }
    if table.get("is_impossible"):
        record["answers"] = []
    elif "answers" in table:
        given = table["answers"]
        if not isinstance(given, list):
            raise DataError("answers are a list.", where=where, got=given)
        record["answers"] = [_answer(found, context, where) for found in given]
        if given and all(answer["start"] < 0 for answer in record["answers"]):
            raise DataError(
                "no answer stands in the context.",
                where=where,
                expected="answers that the context holds, word for word",
                got=record["answers"][0]["text"],
                fix="mend the answer or its context, or mark the question as is_impossible.",
            )
    return record | ({"title": article["title"]} if isinstance(article.get("title"), str) else {})


def _answer(found: Any, context: str, where: str) -> dict[str, Any]:
    table = found if isinstance(found, dict) else {"text": found}
    text = _string(table, ("text",), where)
    start = table.get("answer_start", table.get("start", -1))
    if not isinstance(start, int):
        raise DataError("an answer's place is a number.", where=where, got=start)
    if start < 0 or context[start : start + len(text)] != text:
        start = nearest_occurrence(context, text, start)
    return {"text": text, "start": start}


def _string(table: Mapping[str, Any], names: tuple[str, ...], where: str) -> str:
    for name in names:
        if isinstance(value := table.get(name), str):
            return value
    raise DataError(
        f"there is no {names[0]!r}.",
        where=where,
        expected="a string",
        got=f"fields: {', '.join(map(str, table))}",
    )
