"""Delimited rows, read so that a quote that is never closed swallows no row after it."""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from luban.core.errors import DataError

_LONGEST = 1 << 27  #: characters of the longest field
_WIDEST = 10_000  #: cells of a row; each is a field of its record
_FEW = 50  #: values a column of labels has at most
#: Marks that running text seldom holds: lines with as many as a row has are rows.
_RARE = "\t|;"

#: The first line of a row, and its cells or what is wrong with it.
Row = tuple[int, "list[str] | csv.Error"]


def delimited(lines: Iterable[str], delimiter: str, *, quoting: bool) -> Iterator[Row]:
    """Yield (number of the first line from 1, cells) of delimited rows; none for blank lines.

    A row that cannot be read comes as ``csv.Error``. If a field in quotes goes on over lines that
    are rows themselves, its quote is stray: its first line comes so, and reading goes on with the
    second. Where that is not sure, each of its lines comes so: no line is swallowed.

    Args:
        lines: Lines with their ends.
        delimiter: What divides cells.
        quoting: Whether ``"`` quotes a cell.

    Raises:
        DataError: for a row of more cells than any table has.
    """
    csv.field_size_limit(_LONGEST)
    feed = _Feed(lines)
    reader = csv.reader(
        feed,
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE,
        strict=True,
    )
    known = _Known(delimiter)
    while True:
        first = feed.number + 1
        feed.taken.clear()
        try:
            cells: list[str] | csv.Error = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            stray = "new-line character" in str(error)
            cells = csv.Error("a CR that ends no line") if stray else error
        if isinstance(cells, list) and len(cells) > _WIDEST:
            raise DataError(
                "a row of this table has too many cells.",
                where=f"line {first}",
                expected=f"at most {_WIDEST:,}",
                got=f"{len(cells):,}",
            )
        lines = list(feed.taken)
        if len(lines) > 1 and (swallowed := known.swallowed(lines, cells)):
            if swallowed == "surely":
                feed.back(lines[1:])
                lines = lines[:1]
            for number in range(first, first + len(lines)):
                yield number, csv.Error(f"a quote at line {first} is not closed where its row ends")
            continue
        if len(lines) == 1 and isinstance(cells, list):
            known.see(cells)
        if isinstance(cells, csv.Error) or cells:
            yield first, cells


class _Feed(Iterator[str]):
    """Lines that can be given back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._back = deque[str]()
        self.taken: list[str] = []  #: since it was last cleared
        self.number = 0  #: of the line given last

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._lines)
        self.taken.append(line)
        self.number += 1
        return line

    def back(self, lines: Sequence[str]) -> None:
        """Take back the last lines given."""
        self._back.extendleft(reversed(lines))
        self.number -= len(lines)


@dataclass(slots=True)
class _Column:
    """What the cells of a column so far are like."""

    values: Counter[str]
    numbers: int = 0
    rows: int = 0

    def see(self, cell: str) -> None:
        self.rows += 1
        self.numbers += _is_number(cell)
        if len(self.values) <= _FEW:
            self.values[cell] += 1

    def fits(self, cell: str) -> bool | None:
        """Return whether a cell is like those before; None if the column tells nothing."""
        if self.rows < 3:
            return None
        if len(self.values) <= min(_FEW, self.rows // 2):
            return cell in self.values
        return _is_number(cell) if self.numbers == self.rows else None


class _Known:
    """What rows of one line look like: how many cells they have, and of what kind."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._width = 0
        self._columns: list[_Column] = []

    def see(self, cells: Sequence[str]) -> None:
        """Take note of a row; the first, which may be a header, tells the width alone."""
        if not self._width:
            self._width = len(cells)
            self._columns = [_Column(Counter()) for _ in cells]
        elif len(cells) == self._width:
            for column, cell in zip(self._columns, cells, strict=True):
                column.see(cell)

    def swallowed(self, lines: Sequence[str], cells: list[str] | csv.Error) -> str:
        """Return whether the lines of one row are rows of their own: surely, perhaps, or no ("").

        All of them must be, if the row ended well; else the second. If the file ends within a
        quote, they are taken for rows.
        """
        whole = isinstance(cells, list)
        if not whole and "end of data" in str(cells):
            return "surely"
        if self._width < 2 or not all(map(self._is_row, lines if whole else lines[1:2])):
            return ""
        if self._delimiter in _RARE or all(map(self._fits, lines[:-1] if whole else lines[1:2])):
            return "surely"
        return "perhaps" if not whole or self._width > 2 else ""

    def _is_row(self, line: str) -> bool:
        """Return whether a line has as many cells as a row, none of them unlike its column."""
        cells = self._cells(line)
        return len(cells) == self._width and False not in self._likeness(cells)

    def _fits(self, line: str) -> bool:
        """Return whether a cell of a row is like those before it in its column."""
        return True in self._likeness(self._cells(line))

    def _cells(self, line: str) -> list[str]:
        return line.rstrip("\r\n").split(self._delimiter)

    def _likeness(self, cells: Sequence[str]) -> list[bool | None]:
        return [c.fits(cell.strip('"')) for c, cell in zip(self._columns, cells, strict=True)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
