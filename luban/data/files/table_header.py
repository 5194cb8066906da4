"""Does the first row of a table name its columns, or is it data like the rest?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_LONG = 64  #: characters beyond which no column is called so
_WORDS = 6  #: words from which on a cell is running text
_FEW = 2  #: rows below which nothing is told of a column
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


def data_in_header(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return why the first row of a table is data, not the names of its columns; empty: it is not.

    It is data if a cell of it is a value that its own column repeats (a label), or if it is a
    number or running text and most of its column is of that kind too. It names the columns if it
    holds a usual name (text, label) that is no value of its column, or numbers that count them.

    Args:
        header: The first row.
        rows: Some of the rows after it, each as wide.
    """
    below = [row for row in rows if list(row) != list(header)]
    # Files that were joined repeat their header once in a while.
    if 10 * (len(rows) - len(below)) >= len(rows) >= _FEW:
        return "other rows are equal to it"
    if len(below) < _FEW or _counts(header) or named(header, below):
        return ""
    for place, name in enumerate(header):
        column = [row[place].strip() for row in below]
        name = name.strip()
        if not name:
            continue
        times = Counter(column)
        if times[name] > 1 or (times[name] and max(times.values()) > 1):
            return f"{shown(name)} is a value of column {place + 1} too"
        kind = _kind(name)
        filled = [cell for cell in column if cell]
        if kind and 2 * sum(_kind(cell) == kind for cell in filled) >= max(1, len(filled)):
            return f"{shown(name)} is {kind}, like the rest of column {place + 1}"
    return ""


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
