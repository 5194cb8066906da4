"""CSV and TSV: delimited rows with a header."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from luban.core.errors import DataError
from luban.data.files import bare_suffix, open_text
from luban.data.sources._rows import RowSource

_DELIMITERS = ",\t;|"


class Csv(RowSource):
    """Delimited files, plain or gzip, streamed; every value is a string."""

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv")
    delimiter: str = Field(
        default="auto",
        pattern="^(auto|.)$",
        description=(
            "One character; `auto`: tab for `.tsv`, else the one of comma, tab, semicolon and bar"
            " that the first line holds most of."
        ),
    )
    columns: tuple[str, ...] = Field(
        default=(), description="Field names, for files that do not start with a header."
    )
    quoting: bool = Field(
        default=True,
        description='Whether `"` quotes a field; false: it is a character like any other.',
    )
    encoding: str = Field(default="utf-8", description="A codec of Python's.")

    def rows(self, path: Path) -> Iterator[tuple[int, Any]]:
        """Yield (first line of the row, fields)."""
        csv.field_size_limit(1 << 30)  # long texts are fields too
        with open_text(path, self.encoding, newline="") as file:
            delimiter = self._delimiter(path)
            lines = csv.reader(
                file,
                delimiter=delimiter,
                quoting=csv.QUOTE_MINIMAL if self.quoting else csv.QUOTE_NONE,
                strict=True,
            )
            columns = list(self.columns)
            while True:
                line = lines.line_num + 1
                try:
                    values = next(lines)
                    if not columns:
                        columns = values
                    elif values:
                        yield line, dict(zip(columns, self._fitting(values, columns), strict=True))
                except StopIteration:
                    return
                except csv.Error as error:
                    yield (
                        line,
                        DataError(
                            f"this row does not fit ({error}).",
                            where=f"{path}:{line}",
                            expected=f"{len(columns)} fields divided by {delimiter!r}",
                            fix="set `delimiter` or `quoting`, or quote fields that hold it.",
                        ),
                    )

    def _fitting(self, values: list[str], columns: list[str]) -> list[str]:
        if len(values) != len(columns):
            raise csv.Error(f"{len(values)} fields")
        return values

    def _delimiter(self, path: Path) -> str:
        if self.delimiter != "auto":
            return self.delimiter
        if bare_suffix(path) == ".tsv":
            return "\t"
        with open_text(path, self.encoding) as file:
            first = file.readline(1 << 16)
        return max(_DELIMITERS, key=first.count)
