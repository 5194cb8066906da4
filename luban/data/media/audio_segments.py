"""Rows that mean a part of a recording: ``offset`` and ``duration``, or ``start`` and ``end``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from luban.core.errors import DataError
from luban.data.media.media_files import Media

#: What a source says of its field ``segments``.
SEGMENTS = (
    "Whether `offset` and `duration`, or `start` and `end`, beside a recording are seconds of the "
    "part that a row means."
)
#: Fields that tell where a part begins and ends, as manifests call them.
_ENDS = (
    ("start", "end"),
    ("start_time", "end_time"),
    ("begin", "end"),
    ("begin_time", "end_time"),
    ("segment_start", "segment_end"),
)
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")


def segment_of(recording: Media, row: Mapping[str, Any], where: str) -> Media:
    """Return the part of a recording that its row means; all of it if the row tells of none.

    Manifests of NeMo, WeNet and others have ``offset`` and ``duration``; others ``start`` and
    ``end``, in seconds. A ``duration`` alone tells how long the recording is, which is checked when
    it is decoded.

    Args:
        recording: The recording.
        row: All fields of its row.
        where: For messages.

    Raises:
        DataError: if a field tells of no time, or the part ends before it begins.
    """
    offset, duration = (_seconds(row, name, where) for name in ("offset", "duration"))
    if offset is not None:
        return _part(recording, offset, duration, "offset", where)
    for first, last in _ENDS:
        start, end = _seconds(row, first, where), _seconds(row, last, where)
        if start is not None and end is not None:
            return _part(recording, start, end - start, f"{first} and {last}", where)
    return recording if duration is None else replace(recording, seconds=duration)


def _part(recording: Media, begin: float, seconds: float | None, name: str, where: str) -> Media:
    if begin < 0 or (seconds is not None and seconds <= 0):
        raise DataError(
            f"{name} tells of no part of the recording.",
            where=where,
            expected="seconds, from 0 on, and an end after the beginning",
            got=f"{begin:g}" + (f" + {seconds:g}" if seconds is not None else ""),
        )
    return replace(recording, begin=begin, seconds=seconds)


def _seconds(row: Mapping[str, Any], name: str, where: str) -> float | None:
    """Return what a field tells; None if it is absent or empty.

    Raises:
        DataError: if it is no time.
    """
    value = row.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str) and (clock := _CLOCK.fullmatch(value.strip())):
        hours, minutes, seconds = clock.groups()
        return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise DataError(
            f"the field {name!r} beside a recording tells of no time.",
            where=where,
            expected="seconds, or hh:mm:ss",
            got=value,
            fix="give it another name, or set data.source.segments: false, to read whole files.",
        )
    return found
