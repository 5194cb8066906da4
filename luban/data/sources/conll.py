"""Columns: one token a line with its tag, an empty line after each sentence (CoNLL)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from pydantic import Field

from luban.core.contracts import Record, SetApart
from luban.core.errors import DataError, RecipeError
from luban.core.registry import nearest
from luban.data.checks.set_apart import tried
from luban.data.files.reading import open_text, text_lines
from luban.data.sources._files import FileSource

Column: TypeAlias = int | str

_BLANKS = re.compile(r"[ \t]+")


class Conll(FileSource):
    """Files of columns, plain or gzip, streamed; a record has ``tokens`` and ``tags``.

    A line of white space ends a sentence, and so does ``-DOCSTART-``. A line that begins with
    ``#`` where a sentence would begin is a comment, unless it has as many columns as tokens have.
    A row whose token is empty, as that of a blank in Chinese sets, is left out and counted. A
    sentence is set apart if a line of it has more or fewer columns than the file.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".conll", ".conllu", ".bio", ".bmes", ".iob", ".txt")
    tokens: Column = Field(
        default=0, union_mode="left_to_right", description="The tokens' column: from 0, or a name."
    )
    tags: Column | None = Field(
        default=-1,
        union_mode="left_to_right",
        description="The tags' column: a number (-1: the last one), or a name; null: no tags.",
    )
    columns: tuple[str, ...] = Field(
        default=(), description="The columns' names, such as `[token, pos, chunk, ner]`."
    )
    separator: str = Field(
        default="auto",
        description="What divides columns; `auto`: tabs where a line has one, else blanks.",
    )
    comment: str = Field(
        default="auto",
        description="What comments begin with; `auto`: as told above; empty: there are none.",
    )
    encoding: str = Field(default="utf-8", description="A codec of Python's, such as `latin-1`.")

    def read_file(self, path: Path) -> Iterator[Record]:
        """Yield the sentences of one file."""
        width = self._width(path)
        rows: list[list[str]] = []
        first, bad = 1, None
        for number, line in chain(self._lines(path), [(0, "")]):
            if line.startswith("\t") and self._is_empty(line, width):
                self._empty[f"{path}:{number}"] += 1
                continue
            line = line.strip(" \t")
            cells = self._cells(line)
            if not cells or cells[0] == "-DOCSTART-":
                if rows:
                    where = f"{path}:{first}"
                    made = partial(self._record, rows, where)
                    yield SetApart(bad) if bad else tried(made, where)
                rows, bad = [], None
            elif rows or not self._is_comment(line, len(cells), width):
                first = first if rows else number
                if bad is None and width and len(cells) != width:
                    bad = _uneven(line, f"{path}:{number}", len(cells), width)
                rows.append(cells)

    def _lines(self, path: Path) -> Iterator[tuple[int, str]]:
        with open_text(path, self.encoding, newline="\n") as file:
            for number, line in enumerate(text_lines(file), 1):
                yield number, line.rstrip(" \t").lstrip(" ")

    def facts(self) -> Mapping[str, str]:
        """Return how many rows have no token, if any has none."""
        self._empty.clear()
        for split in self.splits():
            for _ in self.read(split):
                pass
        if not self._empty:
            return {}
        return {
            "rows without a token": f"{len(self._empty):,} ({next(iter(self._empty))} the first)"
        }

    @cached_property
    def _empty(self) -> Counter[str]:
        return Counter()

    def _is_empty(self, line: str, width: int) -> bool:
        """Return whether a row has an empty first column where others have a token."""
        return len(self._cells(line.strip(" \t"))) == width - 1

    def _cells(self, line: str) -> list[str]:
        if not line.strip():
            return []
        if self.separator not in ("auto", " "):
            return [cell.strip() for cell in line.split(self.separator)]
        # Only these two: a full-width or a no-break space may be a token.
        return re.split(r" *\t[ \t]*" if "\t" in line else _BLANKS, line)

    def _width(self, path: Path) -> int:
        """Return how many columns the first line has that is surely no comment."""
        if self.columns:
            return len(self.columns)
        for _, line in self._lines(path):
            cells = self._cells(line.strip(" \t"))
            if cells and not line.startswith("#") and cells[0] != "-DOCSTART-":
                return len(cells)
        return 0

    def _is_comment(self, line: str, cells: int, width: int) -> bool:
        if self.comment != "auto":
            return bool(self.comment) and line.startswith(self.comment)
        return line.startswith("#") and cells != width

    def _record(self, rows: list[list[str]], where: str) -> Record:
        record: dict[str, Any] = {"_where": where}
        wanted = {"tokens": self.tokens, "tags": self.tags}
        for name, column in wanted.items():
            if column is not None:
                index = self._index(column, len(rows[0]), where)
                record[name] = [cells[index] for cells in rows]
        if self.tags is not None and len(rows[0]) == 1:
            raise DataError(
                "this line has no tag.",
                where=where,
                expected="a token and its tag",
                got=" ".join(rows[0]),
                fix="set `separator`, or `tags: null` for text without tags.",
            )
        return record

    def _index(self, column: Column, width: int, where: str) -> int:
        if isinstance(column, str):
            if column not in self.columns:
                raise RecipeError(
                    f"there is no column {column!r}.",
                    where="data.source.columns",
                    expected=", ".join(self.columns) or "names of columns",
                    fix=nearest(column, list(self.columns)) or "name the columns.",
                )
            column = self.columns.index(column)
        if not -width <= column < width:
            raise DataError(
                f"this line has no column {column}.", where=where, got=f"{width} columns, from 0"
            )
        return column


def _uneven(line: str, where: str, got: int, expected: int) -> DataError:
    return DataError(
        f"this line has {got} columns.",
        where=where,
        expected=f"{expected}, like the first line of the file",
        got=line,
        fix="divide sentences by an empty line, or set `separator` or `comment`.",
    )
