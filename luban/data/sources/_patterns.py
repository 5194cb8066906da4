"""What the names of files and folders tell: patterns such as ``{label}_{speaker}_{take}.wav``."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePosixPath

from luban.core.errors import DataError

_HOLE = re.compile(r"\{(\w+)\}")


def told_by(pattern: str, name: str, where: str) -> dict[str, str]:
    """Return the fields that a file's name tells; none if there is no pattern.

    Args:
        pattern: With holes; as many of the last parts of the name count as it has.
        name: The name of the file, with those of folders.
        where: For messages.

    Raises:
        DataError: if the name does not fit.
    """
    if not pattern:
        return {}
    parts = PurePosixPath(name).parts
    inside = "/".join(parts[-1 - pattern.count("/") :])
    match = _expression(pattern).fullmatch(inside)
    if match is None:
        raise DataError(
            "the name of this file does not fit data.source.pattern.",
            where=where,
            expected=pattern,
            got=inside,
            fix="change the pattern, or name the files with a glob.",
        )
    return match.groupdict()


def checked(pattern: str) -> str:
    """Return a pattern.

    Raises:
        ValueError: if it names no field, one twice, or one that is no word.
    """
    holes = _HOLE.findall(pattern)
    if pattern and (not holes or len({*holes}) < len(holes)):
        raise ValueError("name each field once, in braces, as in {label}_{speaker}.wav")
    if any(hole.startswith("_") or not hole.isidentifier() for hole in holes):
        raise ValueError("a field's name is a word that does not begin with an underscore")
    return pattern


@lru_cache(maxsize=64)
def _expression(pattern: str) -> re.Pattern[str]:
    pieces = _HOLE.split(pattern)
    return re.compile(
        "".join(
            f"(?P<{piece}>{_body(piece)})" if number % 2 else re.escape(piece)
            for number, piece in enumerate(pieces)
        )
    )


def _body(field: str) -> str:
    """Return what a hole may hold: a number, if it is called so, else anything but a slash."""
    return r"\d+" if field in ("number", "take") else "[^/]+?"
