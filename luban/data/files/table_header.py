"""Does the first row of a table name its columns, or is it data like the rest?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import regex

from luban.data.files.language import script_shares

_LONG = 64  #: characters beyond which no column is called so
_WORDS = 6  #: words from which on a cell is running text
_FEW = 2  #: rows below which nothing is told of a column
_WORDED = 3  #: blanks from which on a cell is no name
_LONGER = 3  #: how many times as long as its name the cells of a column of texts are
_MOST, _HALF = 0.9, 0.5
_NAME = regex.compile(r"[\p{L}_](?:[\w\p{M} \-/.()#]*[\w\p{M})])?|#[\w\p{M}][\w\p{M} ]*")
#: What columns are called in public sets, in small letters without signs.
_KNOWN = frozenset(
    re.split(
        " ",
        "id idx index guid uid qid sid text texts sentence sentence1 sentence2 sentences content "
        "body review reviews comment comments title question questions question1 question2 answer "
        "answers premise hypothesis label labels class classes category target score rating stars "
        "sentiment polarity topic intent emotion summary article document abstract source src tgt "
        "translation lang language tokens tags words word tag pos ner path file filename image "
        "audio name names date author url link split quality texta textb query passage context "
        "similarity relatednessscore goldlabel genre isduplicate transcript transcription speaker "
        "description price value input output prompt completion instruction response messages",
    )
)
_END = re.compile(r"[.!?。！？…][\"'”’»」』)]*$")


class Verdict(NamedTuple):
    """What the first row of a table is.

    Attributes:
        kind: ``names`` of the columns, ``data`` like the rest, or empty if nothing tells.
        why: What spoke for it.
        sure: Whether no table is known where this speaks for the wrong one.
    """

    kind: Literal["names", "data", ""]
    why: str = ""
    sure: bool = False


def judged(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Verdict:
    """Return whether the first row of a table names its columns.

    It is data if a cell of it is a value of its own column, or is a number or running text as most
    of its column is. It names the columns if it holds a usual name (text, label) that is no value
    of its column, or numbers that count them; or if columns differ from their first cell in kind.

    Args:
        header: The first row.
        rows: Some of the rows after it, each as wide.
    """
    header = [cell.strip() for cell in header]
    below = [[cell.strip() for cell in row] for row in rows]
    repeated = sum(row == header for row in below)
    below = [row for row in below if row != header]
    # Files that were joined repeat their header once in a while.
    if 10 * repeated >= len(rows) >= _FEW:
        return Verdict("data", "other rows are equal to it", True)
    found = _by_cells(header, below)
    found = found if len(below) >= _FEW else found._replace(sure=False)
    if any(len(cell) > _LONG for cell in header):
        long = Verdict("data", f"a cell of it is longer than {_LONG} characters")
        return found if found.kind == "data" else long
    if not below:
        return Verdict("")
    if _counts(header):
        return Verdict("names", "its numbers count the columns", True)
    if named(header, below):
        return Verdict("names", "columns are often called so", True)
    return found


def _by_cells(header: Sequence[str], below: Sequence[Sequence[str]]) -> Verdict:
    """Return what the cells below each name tell of it."""
    columns = [[row[place] for row in below] for place in range(len(header))]
    cells = [
        (name, [cell for cell in column if cell], place)
        for place, (name, column) in enumerate(zip(header, columns, strict=True), 1)
        if name
    ]
    once: Verdict | None = None
    for name, column, place in cells:
        times = Counter(column)
        if times[name]:
            one = Verdict("data", f"{shown(name)} is a value of column {place} too")
            if max(times.values()) > 1:
                return one._replace(sure=True)
            once = once or one
        kind = _kind(name)
        if kind and 2 * sum(_kind(cell) == kind for cell in column) >= max(1, len(column)):
            return Verdict(
                "data", f"{shown(name)} is {kind}, like the rest of column {place}", True
            )
    return once or _of_another_kind(cells)


def _of_another_kind(cells: Sequence[tuple[str, list[str], int]]) -> Verdict:
    """Return what tells of names and columns in which they do not occur: their kind, or nothing.

    Args:
        cells: Each name that is not empty, with the cells below it and its place.
    """
    names = [name for name, _, _ in cells]
    if any(_is_number(name) for name in names) or len({*names}) < len(names):
        return Verdict("data", "a cell of it is a number, or is there twice")
    if not all(map(_NAME.fullmatch, names)):
        return Verdict("data", "a cell of it is not written as names are")
    for name, column, place in cells:
        if column and sum(map(_is_number, column)) >= _MOST * len(column):
            return Verdict("names", f"{shown(name)} is the only word in column {place}", True)
    if any("_" in name for name in names):
        return Verdict("names", "words are joined as in names")
    if all(script_shares(name)["cjk"] == 0 for name in names) and any(
        script_shares("".join(column)[:10_000])["cjk"] > _HALF for _, column, _ in cells
    ):
        return Verdict("names", "it is of another script than the rest")
    most = max((name.count(" ") for name in names), default=0)
    if any(sum(map(len, c)) > _LONGER * len(name) * len(c) for name, c, _ in cells):
        if most < _WORDED:
            return Verdict("names", "it is much shorter than the rest")
        return Verdict("data", "it is running text")
    return Verdict("data", "it is running text") if most >= _WORDED else Verdict("")


def named(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a cell is what columns are usually called, and no value of its column."""
    usual = (re.sub(r"[^a-z0-9]", "", cell.lower()) in _KNOWN for cell in header)
    return any(
        known and all(row[place] != cell for row in rows)
        for place, (cell, known) in enumerate(zip(header, usual, strict=True))
    )


def shown(cell: str) -> str:
    """Return a cell as it is shown in messages."""
    return repr(cell if len(cell) <= _LONG else f"{cell[:_LONG]}…")


def _counts(header: Sequence[str]) -> bool:
    """Return whether the names are 0, 1, 2 … or 1, 2, 3 …, as a table without names is written.

    The first or the last may be a word: the index, or the label.
    """
    numbers = [int(name) for name in header if name.strip().isdecimal() and name.isascii()]
    counted = len(numbers) > 2 and numbers[0] in (0, 1)
    run = list(range(numbers[0], numbers[0] + len(numbers))) if counted else []
    return counted and numbers == run and len(numbers) >= len(header) - 1


def _kind(cell: str) -> str:
    if _is_number(cell):
        return "a number"
    if len(cell) > _LONG or len(cell.split()) >= _WORDS or _END.search(cell):
        return "running text"
    return ""


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.strip().lower().lstrip("+-") not in ("nan", "inf", "infinity")
