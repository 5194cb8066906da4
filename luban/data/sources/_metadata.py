"""``metadata.csv`` and ``metadata.jsonl``, as Hugging Face's folders of media have them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from luban.core.errors import DataError
from luban.core.text_formats import parse_json
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
            yield number, parse_json(line, f"{where}:{number}")
        except DataError as error:
            yield number, error
        except (ValueError, RecursionError) as error:
            yield number, DataError(f"this line is not JSON ({error}).", got=line)


def _csv_rows(text: str, where: str) -> Iterator[tuple[int, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(reader, [])
        seen = dict[Any, str]()
        for number, name in enumerate(names, 1):
            refuse_twice(seen, name, f"the column {name!r}", f"column {number}", where)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(names):
                yield (
                    reader.line_num,
                    DataError(
                        "this row has another number of fields than the first.",
                        expected=f"{len(names)}",
                        got=f"{len(cells)}",
                    ),
                )
                continue
            yield reader.line_num, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise DataError(
            f"this table cannot be read ({error}).", where=f"{where}:{reader.line_num}"
        ) from None
