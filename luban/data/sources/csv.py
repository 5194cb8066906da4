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
from luban.data.files.table_header import Verdict, judged
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
            "or if it is equal to them, and one that looks otherwise is refused; false "
            "without `columns`: they are called column1, column2 and so on; true with `columns`: "
            "the first row is skipped."
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
            columns, skipped = self._columns(first, path)
            for line, cells in chain(first[skipped:], found):
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

    def _columns(self, rows: Sequence[Row], path: Path) -> tuple[list[str], int]:
        """Return the names of the columns, by the first rows, and how many of these are a header.

        Raises:
            DataError: if the first row is not what the recipe says it is.
        """
        if not rows:
            return list(self.columns), 0
        line, cells = rows[0]
        where, told = f"{path}:{line}", list(self.columns)
        if isinstance(cells, csv.Error):
            if told:
                return told, int(self.header is True)
            raise DataError(f"the first row cannot be read ({cells}).", where=where)
        if self.header != "auto":
            made = [f"column{number}" for number in range(1, len(cells) + 1)]
            names = _names(cells, where) if self.header and not told else made
            return told or names, int(self.header)
        if told and [cell.strip() for cell in cells] == [name.strip() for name in told]:
            return told, 1
        below = [c for _, c in rows[1:] if not isinstance(c, csv.Error) and len(c) == len(cells)]
        verdict = judged(cells, below)
        if told:
            if verdict.kind == "names" and verdict.sure and len(cells) == len(told):
                raise _header_after_all(verdict, cells, where)
            return told, 0
        if verdict.kind == "data" and verdict.sure:
            raise _no_header(verdict, cells, where)
        return _names(cells, where), 1

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


def _no_header(verdict: Verdict, cells: Sequence[str], where: str) -> DataError:
    return DataError(
        f"the first row looks like data, not like the names of columns: {verdict.why}.",
        where=where,
        expected="a row that names the columns",
        got=cells,
        fix="name the columns with data.source.columns: [text, label], or set "
        "data.source.header: false (true: it is a header all the same).",
    )


def _header_after_all(verdict: Verdict, cells: Sequence[str], where: str) -> DataError:
    return DataError(
        f"the first row looks like the names of columns, not like data: {verdict.why}.",
        where=where,
        expected="a row of data: data.source.columns names the columns",
        got=cells,
        fix="data.source.header: true skips this row, false reads it as data (for new data: "
        "header=true or header=false after --input).",
    )


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
