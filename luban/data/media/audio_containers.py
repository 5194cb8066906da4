"""The containers of recordings: where a file ends before its samples do, or holds several streams.

The decoder (libsndfile) reads the first stream of a file and passes over the rest, and reads what
there is of a file that was cut off. So containers are walked through before: what was cut off is
refused, streams that follow each other are taken apart, sizes that were never written are filled
in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from luban.core.errors import UnreadableError

_PAGE = 27  #: bytes of the head of an OGG page; the last is the number of its segments
_FIRST = 0x02  #: the flag of the first page of a logical stream
#: From here on, a size is one that encoders write who cannot go back (FFmpeg, SoX, arecord).
_STREAMED = 0x7FFF0000
_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  #: and its first block, of 34 bytes
_CHUNK = re.compile(rb"[ -~]{4}")


def streams(data: bytes, name: str) -> list[bytes]:
    """Return the streams that follow each other in a file, each as a file of its own.

    Args:
        data: All bytes of the file.
        name: For messages.

    Raises:
        UnreadableError: if it ends before its samples do.
    """
    kind = data[:4]
    if kind in (b"RIFF", b"RIFX", b"RF64", b"BW64") and data[8:12] == b"WAVE":
        return _in_chunks(data, name, "big" if kind == b"RIFX" else "little", b"data")
    if kind == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return _in_chunks(data, name, "big", b"SSND")
    if kind == b".snd":
        return _in_au(data, name)
    if kind == b"OggS":
        return _cut(data, _chains(data, name))
    if kind == b"fLaC":
        return _cut(data, (found.start() for found in _FLAC.finditer(data)))
    if kind[:3] == b"ID3" or _frame(data, 0):
        return _cut(data, _runs(data))
    return [data]


def cut_off(name: str, found: int, expected: int, unit: str) -> UnreadableError:
    """Return the error for a recording that ends before its samples do."""
    return UnreadableError(
        f"this recording is cut off: {found:,} of {expected:,} {unit} are there.", where=name
    )


def _cut(data: bytes, starts: Iterator[int]) -> list[bytes]:
    places = sorted({0, *starts})
    return [data[a:b] for a, b in zip(places, [*places[1:], len(data)], strict=True)]


def _in_chunks(data: bytes, name: str, order: str, samples: bytes) -> list[bytes]:
    """Take WAV and AIFF apart: chunks of four letters, a size, and a byte where that is odd."""
    found, start, at, wide = list[bytes](), 0, 12, 0
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], order)  # type: ignore[arg-type]
        if kind == data[:4] and data[at + 8 : at + 12] == data[8:12]:
            found.append(data[start:at])
            start, at, wide = at, at + 12, 0
            continue
        if kind == b"ds64":  # RF64 (EBU Tech 3306) has its sizes here, in eight bytes
            wide = int.from_bytes(data[at + 16 : at + 24], "little")
        left = len(data) - at - 8
        if kind == samples:
            streamed = size >= _STREAMED or (not size and not _has_chunks(data, at + 8, order))
            if wide and size == 0xFFFFFFFF and wide < 1 << 62:
                size, streamed = wide, False
            if streamed and size != left:
                sizes = (left).to_bytes(4, order)  # type: ignore[arg-type]
                whole = (at - start + left).to_bytes(4, order)  # type: ignore[arg-type]
                head = data[start : start + 4] + whole + data[start + 8 : at + 4]
                return [*found, head + sizes + data[at + 8 :]]
            if size > left:
                raise cut_off(name, left, size, "bytes")
        at += 8 + size + size % 2
    return [*found, data[start:]]


def _has_chunks(data: bytes, at: int, order: str) -> bool:
    """Return whether chunks follow up to the end, so that a size of 0 is meant."""
    while at + 8 <= len(data) and _CHUNK.match(data, at):
        size = int.from_bytes(data[at + 4 : at + 8], order)  # type: ignore[arg-type]
        at += 8 + size + size % 2
    return at in (len(data), len(data) + 1)


def _in_au(data: bytes, name: str) -> list[bytes]:
    """Take Sun's format apart: where samples begin, and their bytes, big-endian."""
    begin, size = (int.from_bytes(data[place : place + 4], "big") for place in (4, 8))
    if size == 0xFFFFFFFF:
        return [data]
    end = begin + size
    if end > len(data):
        raise cut_off(name, max(0, len(data) - begin), size, "bytes")
    rest = data[end:]
    return [data[:end], *_in_au(rest, name)] if rest[:4] == b".snd" else [data]


def _chains(data: bytes, name: str) -> Iterator[int]:
    """Yield where the links of an OGG file begin (RFC 3533, sections 4 and 6).

    A last page without the flag that ends the stream is no sign of damage: many recorders never
    set it. A page that is missing between others is: the decoder passes over the hole.

    Raises:
        UnreadableError: if it ends within a page, or pages are missing.
    """
    at, begun, numbers = 0, False, dict[bytes, int]()
    while data[at : at + 4] == b"OggS":
        segments = data[at + _PAGE - 1] if len(data) >= at + _PAGE else 0
        lengths = data[at + _PAGE : at + _PAGE + segments]
        end = at + _PAGE + segments + sum(lengths)
        if len(lengths) < segments or end > len(data):
            raise UnreadableError("this recording is cut off: it ends within a page.", where=name)
        serial, number = data[at + 14 : at + 18], int.from_bytes(data[at + 18 : at + 22], "little")
        if data[at + 5] & _FIRST:
            if begun:
                yield at
            begun = False
        else:
            begun = True
            if number != numbers.get(serial, number - 1) + 1:
                raise UnreadableError("this recording is damaged: pages are missing.", where=name)
        numbers[serial] = number
        at = end


def _runs(data: bytes) -> Iterator[int]:
    """Yield where the streams of an MP3 file begin.

    Each begins with the tags of ID3, or with the frame that tells how many follow (LAME, Xing,
    Fraunhofer): without either, frames that follow each other are one stream for the decoder too.
    """
    at, start, form = 0, True, 0
    while at < len(data):
        if data[at : at + 3] == b"ID3":
            if not start:
                yield at
                start = True
            size = 0
            for byte in data[at + 6 : at + 10]:  # seven bits of each
                size = size << 7 | byte & 0x7F
            at += 10 + size
            continue
        length = _frame(data, at)
        if not length:  # padding, other tags, or noise between frames
            at = _next(data, at + 1)
            continue
        told = any(mark in data[at : at + 48] for mark in (b"Xing", b"Info", b"VBRI"))
        rate = data[at + 1] & 0x18, data[at + 2] & 0x0C
        changed = bool(form) and form != hash(rate)
        if not start and (told or changed):
            yield at
        start, form = False, hash(rate)
        at += length


_RATES = (44_100, 48_000, 32_000)
_BITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def _frame(data: bytes, at: int) -> int:
    """Return the bytes of the frame of MPEG layer III that begins here; 0: none does."""
    head = data[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return 0
    version, bits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or bits in (0, 15) or rate == 3:
        return 0
    first = version == 3
    hertz = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    kilobits = (_BITS_1 if first else _BITS_2)[bits]
    return (144 if first else 72) * kilobits * 1000 // hertz + (head[2] >> 1 & 1)


def _next(data: bytes, at: int) -> int:
    """Return where the next frame or tag begins, seen by two frames in a row."""
    while (found := data.find(b"\xff", at)) >= 0:
        length = _frame(data, found)
        if length and (found + length == len(data) or _frame(data, found + length)):
            break
        at = found + 1
    tag = data.find(b"ID3", at, found if found >= 0 else len(data))
    return tag if tag >= 0 else found if found >= 0 else len(data)
