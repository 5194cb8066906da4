"""How a table in a text file is written: mark, quoting, header, and whether its rows fit."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import regex

from luban.core.contracts import Source
from luban.core.errors import DataError
from luban.core.yaml_json import parse_json
from luban.data.files import formats
from luban.data.files.annotation_rows import plain_row
from luban.data.files.reading import bare_suffix, open_text
from luban.data.files.table_header import judged

_ROWS = 2_000  #: rows by which a header is told
_FEW = 10  #: rows from which on it counts how many differ
_NAME = regex.compile(r"[\p{L}_](?:[\w\p{M} \-/.()#]*[\w\p{M})])?|#[\w\p{M}][\w\p{M} ]*")


def arguments_of(form: str, path: Path, encoding: str, *, strict: bool = True) -> dict[str, Any]:
    """Return the other fields of a source, by one of its files.

    Args:
        form: The source.
        path: The file.
        encoding: Of the file.
        strict: Whether it must be clear if the first row of a table is a header.

    Raises:
        DataError: if it cannot be told how a table is written.
    """
    if form == "json":
        with open_text(path, encoding) as file:
            text = file.read()
        try:
            data = parse_json(text, path)
        except DataError:
            return {}  # reading it says what is wrong
        where = formats.array_in(data)
        _check_rows(data, where, path)
        return {"records": where} if where else {}
    if form == "conll":
        columns = formats.conll_columns(formats.first_lines(path, encoding))
        return {name: place for name, place in columns.items() if place != -1}
    if form == "csv":
        return table_arguments(path, encoding, strict=strict)
    if form not in ("lines", "text"):
        return {}
    lines = formats.first_lines(path, encoding)
    if form == "lines":
        mark = "__label__" if any(line.startswith("__label__") for line in lines) else ""
        return {"pattern": mark + r"(?P<label>\S+)\s+(?P<text>.*)"}
    return {"document": "line"} if formats.is_list(lines) else {}


def _check_rows(data: Any, where: str, path: Path) -> None:
    """Refuse JSON whose rows no source reads, by the forms in which it is found.

    Raises:
        DataError: telling what to write instead.
    """
    if isinstance(data, dict) and not where:
        raise DataError(
            "this file is one JSON object, and holds no list of records.",
            where=path,
            expected="a list of objects, or one object a line",
            got=f"fields: {', '.join(map(str, data))}",
            fix="write one object a line, with the fields that a task reads (query, choices and "
            "gold, say), as with: jq -c . FILES > all.jsonl.",
        )
    rows = data if isinstance(data, list) else []
    first = plain_row(rows[0]) if rows else None
    if isinstance(first, list):
        raise DataError(
            "the rows of this file are lists, not tables of fields.",
            where=path,
            got=first,
            fix='write one object a line (.jsonl), such as {"text": …, "entities": [[0, 3, '
            '"PER"]]}.',
        )


def table_arguments(path: Path, encoding: str, *, strict: bool) -> dict[str, Any]:
    """Return delimiter, quoting and, if the first row is data, made-up names of columns.

    Raises:
        DataError: if rows differ in their number of columns, or no row tells whether the first
            is a header.
    """
    found: dict[str, Any] = {}
    lines = formats.first_lines(path, encoding)
    commas = bool(lines) and all(map(_NAME.fullmatch, lines[0].split(",")))
    bars = formats.is_table(lines, "|") and not commas
    mark = "\t" if formats.is_table(lines) else "|" if bars else ""
    if mark:
        if bare_suffix(path) != ".tsv":
            found["delimiter"] = mark
        if not formats.has_quotes(lines, mark):
            found["quoting"] = False
    source: Any = Source.from_dict(
        {"name": "csv", "path": str(path), "encoding": encoding, **found}
    )
    _check_widths(path, lines, source._delimiter(path), quoted=found.get("quoting", True))
    width, rows = _first_rows(path, encoding, found)
    try:
        header = _names_columns(rows, path) if width else True
    except DataError:
        if strict:
            raise
        header = False
    if not header:
        found["columns"] = [f"column{number}" for number in range(1, width + 1)]
    return found


def _names_columns(rows: Sequence[Sequence[str]], path: Path) -> bool:
    """Return whether the first of these rows names the columns.

    Raises:
        DataError: if nothing tells.
    """
    first = [cell.strip() for cell in rows[0]]
    verdict = judged(first, rows[1:])
    if verdict.kind or len(rows) == 1:
        return verdict.kind != "data"
    raise DataError(
        "nothing tells whether the first row names the columns.",
        where=path,
        got=", ".join(first),
        fix=f"say columns=[{', '.join(f'name{n}' for n in range(1, len(first) + 1))}] if it is "
        "data, else give its columns names such as text and label.",
    )


def _first_rows(path: Path, encoding: str, found: dict[str, Any]) -> tuple[int, list[list[str]]]:
    """Return the number of columns, and the first rows, up to one that does not fit."""
    source = {"name": "csv", "path": str(path), "encoding": encoding, **found}
    reader: Any = Source.from_dict(source)
    mark = reader._delimiter(path)
    csv.field_size_limit(1 << 30)
    rows: list[list[str]] = []
    with open_text(path, encoding, newline="") as file:
        quoted = found.get("quoting", True)
        plain = csv.reader(file, delimiter=mark, quoting=csv.QUOTE_NONE)
        reading = csv.reader(file, delimiter=mark) if quoted else plain
        try:
            for row in islice(reading, _ROWS):
                if rows and row and len(row) != len(rows[0]):
                    break  # reading says what is wrong with it
                rows += [row] if row else []
        except csv.Error:
            pass
    return len(rows[0]) if rows else 0, rows


def _check_widths(path: Path, lines: Sequence[str], mark: str, *, quoted: bool) -> None:
    """Refuse a table whose rows have several numbers of columns, often: it is no table."""
    if quoted and any('"' in line for line in lines):
        return
    widths = Counter(line.count(mark) + 1 for line in lines if line.strip())
    others = widths.most_common(4)
    times = others[0][1] if others else 0
    if widths.total() >= _FEW and len(widths) > 1 and times < 0.9 * sum(widths.values()):
        raise DataError(
            "the rows of this table differ in their number of columns.",
            where=path,
            expected="as many columns in each row",
            got="; ".join(f"{width} columns: {t:,} rows" for width, t in others),
            fix=f"keep the columns that all have, as with: cut -f1-{min(widths)} IN > OUT.",
        )
