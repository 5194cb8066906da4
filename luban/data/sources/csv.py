"""CSV and TSV: delimited rows with a header."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from luban.core.errors import DataError
from luban.data.files.delimited import Row, delimited
from luban.data.files.reading import bare_suffix, open_text, text_lines
from luban.data.files.table_header import data_in_header
from luban.data.sources._rows import RowSource

_DELIMITERS = ",\t;|"
_LOOK = 1000  #: rows that tell whether the first one is a header


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
    header: bool | Literal["auto"] = Field(
        default="auto",
        union_mode="left_to_right",
        description=(
            "Whether the first row names the columns. `auto`: it does if there are no `columns`, "
            "and is refused if it looks like data; false without `columns`: they are called "
            "column1, column2 and so on; true with `columns`: the first row is skipped."
        ),
    )
    quoting: bool = Field(
        default=True,
        description='Whether `"` quotes a field; false: it is a character like any other.',
    )
    encoding: str = Field(default="utf-8", description="A codec of Python's.")

    def rows(self, path: Path) -> Iterator[tuple[int, Any]]:
        """Yield (first line of the row, fields).

        Raises:
            DataError: if the header names two columns alike, or looks like data.
        """
        delimiter = self._delimiter(path)
        with self._opened(path) as found:
            first = list(islice(found, _LOOK))
            columns = self._columns(first, path)
            for line, cells in chain(first[self._has_header :], found):
                yield line, _row(cells, columns, delimiter, f"{path}:{line}")

    def first_rows(self, path: Path) -> list[list[str]]:
        """Return the first row of a file, be it a header or not, and those after it as wide."""
        with self._opened(path) as found:
            rows = [cells for _, cells in islice(found, _LOOK) if not isinstance(cells, csv.Error)]
        return [row for row in rows if len(row) == len(rows[0])]

    @contextmanager
    def _opened(self, path: Path) -> Iterator[Iterator[Row]]:
        with open_text(path, self.encoding, newline="\n") as file:
            lines = text_lines(file, ends=True)
            yield delimited(lines, self._delimiter(path), quoting=self.quoting)

    @property
    def _has_header(self) -> bool:
        return not self.columns if self.header == "auto" else self.header

    def _columns(self, rows: Sequence[Row], path: Path) -> list[str]:
        """Return the names of the columns, by the first rows."""
        if self.columns or not rows:
            return list(self.columns)
        line, cells = rows[0]
        if isinstance(cells, csv.Error):
            raise DataError(f"the first row cannot be read ({cells}).", where=f"{path}:{line}")
        if not self._has_header:
            return [f"column{number}" for number in range(1, len(cells) + 1)]
        below = [c for _, c in rows[1:] if not isinstance(c, csv.Error) and len(c) == len(cells)]
        if self.header == "auto" and (why := data_in_header(cells, below)):
            raise DataError(
                f"the first row looks like data, not like the names of columns: {why}.",
                where=f"{path}:{line}",
                expected="a row that names the columns",
                got=cells,
                fix="name the columns with data.source.columns: [text, label], or set "
                "data.source.header: false (true: it is a header all the same).",
            )
        return _names(cells, f"{path}:{line}")

    def _delimiter(self, path: Path) -> str:
        if self.delimiter != "auto":
            return self.delimiter
        if bare_suffix(path) == ".tsv":
            return "\t"
        with open_text(path, self.encoding) as file:
            first = file.readline(1 << 16)
        return max(_DELIMITERS, key=first.count)

    @field_validator("columns")
    @classmethod
    def _differ(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        seen: dict[str, int] = {}
        for place, name in enumerate(columns, 1):
            if (first := seen.setdefault(name, place)) != place:
                raise ValueError(f"names columns {first} and {place} alike: {name!r}")
        return columns


def _names(cells: Sequence[str], where: str) -> list[str]:
    """Return the names of columns; one without a name goes by its place.

    Raises:
        DataError: if two have the same one: which of them a field is nobody can tell.
    """
    names: dict[str, int] = {}
    for place, cell in enumerate(cells, 1):
        name = cell if cell.strip() else f"column{place}"
        if name in names:
            raise DataError(
                f"two columns are called {name!r}.",
                where=where,
                got=f"columns {names[name]} and {place}",
                fix="name all columns with data.source.columns and set data.source.header: true, "
                "or rename one in the file.",
            )
        names[name] = place
    return list(names)


def _row(
    cells: list[str] | csv.Error, columns: Sequence[str], delimiter: str, where: str
) -> dict[str, str] | DataError:
    if isinstance(cells, csv.Error):
        problem = str(cells)
    elif len(cells) != len(columns):
        problem = f"{len(cells)} fields"
    elif any("\0" in cell for cell in cells):
        problem = "a NUL byte"
    elif list(cells) == list(columns) and len(columns) > 1:
        problem = "it repeats the header"
    else:
        return dict(zip(columns, cells, strict=True))
    return DataError(
        f"this row does not fit ({problem}).",
        where=where,
        expected=f"{len(columns)} fields divided by {delimiter!r}",
        fix="set `delimiter` or `quoting`, or quote fields that hold it.",
    )
