"""``metadata.csv`` and ``metadata.jsonl``, as Hugging Face's folders of media have them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from luban.core.errors import DataError
from luban.core.yaml_json import parse_json
from luban.data.files.delimited import delimited
from luban.data.files.reading import text_lines
from luban.data.sources._boxes import refuse_twice


def table_rows(text: str, where: str) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
    """Yield (line, row) of such a file; errors in place of rows that are bad.

    Raises:
        DataError: if a column stands twice, or the table cannot be read.
    """
    rows = _json_rows(text, where) if where.lower().endswith(".jsonl") else _csv_rows(text, where)
    for number, row in rows:
        if isinstance(row, DataError) or (isinstance(row, dict) and row.get("file_name")):
            yield number, row
        else:
            yield (
                number,
                DataError("this row names no file.", expected="a field file_name", got=row),
            )


def _json_rows(text: str, where: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):  # other marks may stand within a text
        if not line.strip():
            continue
        try:
            yield number, parse_json(line, f"{where}:{number}", line=True)
        except DataError as error:
            yield number, error


def _csv_rows(text: str, where: str) -> Iterator[tuple[int, Any]]:
    lines = text_lines(io.StringIO(text, newline="\n"), ends=True)
    rows = delimited(lines, ",", quoting=True)
    first, names = next(rows, (1, list[str]()))
    if isinstance(names, csv.Error):
        raise DataError(f"the first row cannot be read ({names}).", where=f"{where}:{first}")
    seen = dict[Any, str]()
    for place, name in enumerate(names, 1):
        refuse_twice(seen, name, f"the column {name!r}", f"column {place}", where)
    for number, cells in rows:
        if isinstance(cells, csv.Error):
            yield number, DataError(f"this row cannot be read ({cells}).")
        elif len(cells) != len(names):
            what = "this row has another number of fields than the first."
            yield number, DataError(what, expected=f"{len(names)}", got=f"{len(cells)}")
        else:
            yield number, dict(zip(names, cells, strict=True))
