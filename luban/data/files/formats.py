"""Which form data files have: told by how they lie, by their names and by what is in them."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luban.core.errors import DataError
from luban.core.yaml_json import json_of
from luban.data.files.encodings import many_bytes
from luban.data.files.reading import bare_suffix, open_bytes

_HEAD = 1 << 20
_ALL = 1 << 26  #: bytes by which an encoding is told: all of most files
FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
}
_TAG = re.compile(r"O|[BIESMLU][-_]\S+")
_LABELLED = re.compile(r"(?:__label__(?P<word>\S+)|(?P<digit>\d{1,2}))[ \t]+\S.*")


def form_of(path: Path) -> str:
    """Return the source that reads a file, by its name and, where that does not tell, content."""
    known = FORMATS.get(bare_suffix(path))
    if known in ("jsonl", "csv", "parquet"):
        return known
    data = head(path)
    if data.startswith(b"PAR1"):
        return "parquet"
    if b"\0" in data and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError("this is not a text file.", where=path, expected=", ".join(FORMATS))
    plain = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if known == "json" or plain.startswith((b"{", b"[{", b"[\n", b"[\r\n")):
        first, _, rest = plain.partition(b"\n")
        several = known is None or rest.lstrip().startswith(b"{")
        if plain.startswith(b"{") and several and _is_json(first):
            return "jsonl"
        return "squad" if b'"qas"' in plain else "json"
    lines = first_lines(path, encoding_of(path))
    if conll_columns(lines):
        return "conll"
    if has_blocks(lines):
        raise DataError(
            "these are columns with a word a line, but none holds tags of entities.",
            where=path,
            expected="a column of tags such as O, B-PER and I-PER",
            got=next(line for line in lines if line.strip() and not line.startswith("#")),
            fix="write such tags; parts of speech (CoNLL-U) are no entities.",
        )
    if bare_suffix(path) != ".md" and is_table(lines):
        return "csv"
    return "lines" if is_labelled(lines) else "text"


def head(path: Path, size: int = _HEAD) -> bytes:
    """Return the first bytes of a file, a MiB unless told otherwise, unpacked."""
    with open_bytes(path) as file:
        return file.read(size)


def first_lines(path: Path, encoding: str) -> list[str]:
    """Return the whole lines within the first MiB of a file."""
    data = head(path)
    lines = data.decode(encoding, errors="replace").removeprefix("\ufeff").split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if len(data) == _HEAD else lines)]


def encoding_of(path: Path, *, ascii_too: bool = False) -> str:
    """Return the encoding of a file, by its first 64 MiB.

    Args:
        path: The file.
        ascii_too: Whether ``ascii`` is told from ``utf-8``.

    Raises:
        DataError: if it is no text.
    """
    data = head(path, _ALL)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in data[:_HEAD]:
        raise DataError("this is not a text file.", where=path, expected=", ".join(FORMATS))
    # In Chinese encodings most high bytes have another beside them; in European ones few have.
    chinese = ("gb18030", "big5") if many_bytes(data) else ("cp1252",)
    for encoding in ("utf-8", *chinese, "latin-1"):
        try:
            # Not final: the sample may end inside a character.
            codecs.getincrementaldecoder(encoding)().decode(data)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" and data.isascii():
            return "ascii" if ascii_too else "utf-8"
        return (
            "latin-1" if encoding == "cp1252" and not re.search(rb"[\x80-\x9f]", data) else encoding
        )
    raise DataError("the encoding of this file is unknown.", where=path)


def conll_columns(lines: Sequence[str]) -> dict[str, int]:
    """Return where tokens and tags are, as fields of the source ``conll``; empty: not columns."""
    rows = [re.split(r"[ \t]+", line.strip(" \t")) for line in lines if line.strip()]
    rows = [row for row in rows if not row[0].startswith(("#", "-DOCSTART-"))]
    if len(rows) < 2 or len(rows) == len(lines):
        return {}
    width, times = Counter(map(len, rows)).most_common(1)[0]
    if width < 2 or times < 0.95 * len(rows):
        return {}
    rows = [row for row in rows if len(row) == width]
    for column in range(width - 1, 0, -1):
        tags = [row[column] for row in rows]
        if all(map(_TAG.fullmatch, tags)) and len(set(tags)) > 1:
            numbered = width > 2 and all(row[0].isdecimal() for row in rows)
            found = {"tokens": 1} if numbered else {}
            return found | {"tags": column if column < width - 1 else -1}
    return {}


def has_blocks(lines: Sequence[str]) -> bool:
    """Return whether lines are rows of three columns or more, in blocks that blank lines divide."""
    rows = [line for line in lines if not line.startswith("#")]
    widths = Counter(line.count("\t") + 1 for line in rows if line.strip())
    blank = sum(not line.strip() for line in rows[:-1])
    if not widths or not blank:
        return False
    width, times = widths.most_common(1)[0]
    return width >= 3 and times >= 0.95 * widths.total() and blank >= times / 200


def is_table(lines: Sequence[str], mark: str = "\t") -> bool:
    """Return whether nearly every line has as many tabs, or another mark, at least one."""
    tabs = Counter(line.count(mark) for line in lines if line.strip())
    times, total = max(((n, t) for t, n in tabs.items()), default=(0, 0))[0], sum(tabs.values())
    return total > 1 and tabs[0] == 0 and times >= 0.95 * total


def has_quotes(lines: Sequence[str], mark: str = "\t") -> bool:
    """Return whether quotes stand around fields, which a mark divides, rather than in the text.

    They do if all rows so read have one width and no field swallows a mark; it may go on over line
    ends. The lines may end within such a field: they are the head of a file.
    """
    quoted = any(cell.startswith('"') for line in lines for cell in line.split(mark))
    if not quoted:
        return not any('"' in line for line in lines)
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=mark, strict=True)
    widths, read = set[int](), 0
    try:
        for row in reader:
            widths |= {len(row)} if row else set()
            if any(mark in cell for cell in row):
                return False
            read = reader.line_num
    except csv.Error:
        return len(widths) == 1 and read >= 0.9 * len(lines)
    return len(widths) == 1


def is_labelled(lines: Sequence[str]) -> bool:
    """Return whether every line is a short number, or fastText's mark, and a text."""
    filled = [line for line in lines if line.strip()]
    found = [_LABELLED.fullmatch(line) for line in filled]
    labels = Counter(match["word"] or match["digit"] for match in found if match)
    return len(filled) > 1 and all(found) and 2 <= len(labels) <= max(2, len(filled) // 4)


def is_list(lines: Sequence[str]) -> bool:
    """Return whether lines are a list of short entries rather than running text."""
    filled = lines[:-1] if lines and not lines[-1] else lines
    return len(filled) >= 20 and all(0 < len(line.strip()) <= 60 for line in filled)


def array_in(data: Any, path: tuple[str, ...] = ()) -> str:
    """Return the dotted path of the first array of objects; empty: the top."""
    if isinstance(data, list) and data and isinstance(data[0], dict):
        return ".".join(path)
    for key, value in data.items() if isinstance(data, dict) else ():
        if found := array_in(value, (*path, str(key))):
            return found
    return ""


def _is_json(line: bytes) -> bool:
    try:
        json_of(line)
    except (ValueError, RecursionError):
        return False
    return True
