"""Is a file in the encoding it is said to be in? Told by its first bytes."""

from __future__ import annotations

import codecs
import re
from itertools import islice
from pathlib import Path

from luban.core.errors import DataError

#: A character of UTF-8 of several bytes.
_MANY_BYTES = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{1,3}")
_HIGH = re.compile(rb"[\x80-\xff]+")
_CHINESE = ("gb18030", "big5")
_WESTERN = ("iso8859-1", "iso8859-15", "cp1252")
#: Characters that make up a tenth of any Chinese text, in both scripts.
_COMMON = frozenset("的一是不了在人有我他这這中大来來上国國个個到说說们們")
_SURE = 20  #: bytes or characters below which nothing is told


def check_encoding(head: bytes, codec: str, encoding: str, path: Path) -> None:
    """Refuse a file whose first bytes can be read as they are said to be, but mean nothing so.

    Args:
        head: The first bytes.
        codec: Python's name of the encoding.
        encoding: As the user wrote it.
        path: The file.

    Raises:
        DataError: naming the first byte that tells it.
    """
    if codec.startswith(("utf-16", "utf-32")):
        return
    other, place = _other(head, codec)
    if not other:
        return
    guess = other if other != "unknown" else ""
    raise DataError(
        f"this is {guess} text, not {encoding}." if guess else f"this is not {encoding} text.",
        where=f"{path}: byte {place:,}",
        got=head[place : place + 8],
        fix=f"set `encoding: {guess}`." if guess else "set `encoding` (gb18030, big5, cp1251, …).",
    )


def many_bytes(head: bytes) -> bool:
    """Return whether high bytes mostly have others beside them: so they have where two make one.

    In texts of Western Europe few have.
    """
    runs = [len(run[0]) for run in islice(_HIGH.finditer(head), 100_000)]
    return runs.count(1) <= 0.7 * sum(runs)


def _other(head: bytes, codec: str) -> tuple[str, int]:
    """Return the encoding that some bytes surely are in rather than this, and the first of them."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", 0
    nuls = head.count(0)
    if 10 * nuls > len(head):
        odd = sum(byte == 0 for byte in head[1::2])
        return "utf-16-le" if 2 * odd > nuls else "utf-16-be", head.index(0)
    high = _HIGH.search(head)
    if codec.startswith("utf-8") or not high:
        return "", 0
    if _MANY_BYTES.search(head) and _decoded(head, "utf-8") is not None:
        return "utf-8", high.start()
    if codec in _WESTERN and sum(map(len, _HIGH.findall(head))) >= _SURE and many_bytes(head):
        shares = {name: _common(head, name) for name in _CHINESE}
        best = max(shares, key=lambda name: shares[name])
        return best if shares[best] > 0.02 else "unknown", high.start()
    if codec in _CHINESE:
        ours, other = _common(head, codec), _CHINESE[1 - _CHINESE.index(codec)]
        theirs = _common(head, other)
        if theirs > 0.02 and theirs > 4 * ours:
            return other, high.start()
    return "", 0


def _decoded(head: bytes, codec: str) -> str | None:
    try:
        return codecs.getincrementaldecoder(codec)().decode(head)  # it may end in a character
    except UnicodeDecodeError:
        return None


def _common(head: bytes, codec: str) -> float:
    """Return the share of common Chinese characters among those beyond ASCII; 0 of a few."""
    letters = [letter for letter in _decoded(head, codec) or "" if letter > "\x7f"]
    if len(letters) < _SURE:
        return 0.0
    return sum(letter in _COMMON for letter in letters) / len(letters)
