"""Finding and reading data files: plain or gzip, any encoding, never loaded whole."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import IO, BinaryIO, TextIO, cast

from luban.core.errors import DataError
from luban.core.registry import nearest
from luban.data.files.encodings import check_encoding

_BLOCK = 1 << 20
_HEAD = 1 << 16  #: bytes by which a wrong encoding is told
#: Beginnings of the names of files that are about the data, and of hidden ones.
_ABOUT = ("readme", "license", "licence", "copying", "changelog", "citation", ".")


def expand(patterns: str | Iterable[str], suffixes: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the files that paths, folders and globs stand for, in the order given, each once.

    A folder stands for the files below it that end in one of ``suffixes`` (``.gz`` may
    follow), but for hidden ones and what is about the data (README, LICENSE); a glob stands
    for its matches. Both are sorted.

    Raises:
        DataError: if a pattern stands for no file.
    """
    found: dict[Path, None] = {}
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        found.update(dict.fromkeys(_expand(pattern, suffixes)))
    return tuple(found)


def _expand(pattern: str, suffixes: tuple[str, ...]) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        every = files_in(path)
        files = [p for p in every if bare_suffix(p) in suffixes]
        if not files:
            raise DataError(
                "this folder holds no file to read.",
                where=path,
                expected=f"names that end in {', '.join(suffixes)} (.gz may follow)",
                got=", ".join(p.name for p in every[:5]) or "an empty folder",
                fix="name the files, or use a glob such as folder/*.log.",
            )
        return files
    matches = [Path(p) for p in sorted(glob(str(path), recursive=True)) if Path(p).is_file()]
    if not matches:
        raise missing(path)
    return matches


def files_in(folder: Path) -> list[Path]:
    """Return the files below a folder, but for hidden ones and what is about the data (README)."""
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and not _aside(p, folder)]


def _aside(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return hidden or is_about(path.name)


def is_about(name: str) -> bool:
    """Return whether a file is about the data (README, LICENSE) or hidden, by its name."""
    return name.lower().startswith(_ABOUT)


def bare_suffix(path: Path) -> str:
    """Return the suffix of a file name, in lower case, with ``.gz`` taken off first."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def missing(path: Path) -> DataError:
    """Return the error for a file that is not there, with the nearest name that is."""
    folder = path.parent
    if not folder.is_dir():
        return DataError("there is no such folder.", where=folder, fix="check the path.")
    near = nearest(path.name, [p.name for p in folder.iterdir()])
    return DataError(
        "there is no such file.", where=path, fix=near or f"see what {folder.resolve()} holds."
    )


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, unpacked if it is gzip (told by content, not by name).

    Raises:
        DataError: if it is missing, unreadable or a damaged gzip.
    """
    try:
        with path.open("rb") as raw:
            if raw.peek(2)[:2] == b"\x1f\x8b":  # a pipe cannot be read twice
                with gzip.open(raw) as unpacked:
                    yield cast(BinaryIO, unpacked)
            else:
                yield raw
    except FileNotFoundError:
        raise missing(path) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"this gzip file is damaged ({error}).", where=path) from None
    except OSError as error:
        raise DataError(f"this file cannot be read ({error.strerror}).", where=path) from None


@contextmanager
def open_text(path: Path, encoding: str = "utf-8", newline: str | None = None) -> Iterator[TextIO]:
    """Open a text file, plain or gzip; a UTF-8 byte order mark is skipped.

    Args:
        path: The file.
        encoding: A codec of Python's.
        newline: As for ``open``: ``None`` turns CRLF and CR into LF.

    Raises:
        DataError: as ``open_bytes``, and for bytes that are not in ``encoding``; it names the
            byte offset. Also where they could be read so, but surely are in another one.
    """
    codec = codec_of(encoding, path)
    try:
        with open_bytes(path) as raw:
            buffer = io.BufferedReader(cast(io.RawIOBase, raw), _BLOCK)
            check_encoding(buffer.peek(_HEAD)[:_HEAD], codec, encoding, path)
            yield io.TextIOWrapper(cast(IO[bytes], buffer), encoding=codec, newline=newline)
    except UnicodeDecodeError as error:
        offset, got = _bad_bytes(path, codec)
        raise DataError(
            f"this is not {encoding} text ({error.reason}).",
            where=f"{path}: byte {offset:,}",
            got=got,
            fix="set `encoding` (gb18030, big5, latin-1, …), or repair the file.",
        ) from None
    except UnicodeError as error:  # of UTF-16 and UTF-32 without a byte order mark
        raise DataError(
            f"this is not {encoding} text ({error}).",
            where=f"{path}: byte 0",
            fix="set `encoding` (utf-8, utf-16-le, utf-16-be, …).",
        ) from None


def newline_of(path: Path, encoding: str) -> str | None:
    """Return the ``newline`` that divides a text file into lines, by its beginning.

    It is LF, so that a stray CR is none, but where there is CR and no LF at all.
    """
    with open_text(path, encoding, newline="") as file:
        head = file.read(_HEAD)
    return None if "\r" in head and "\n" not in head else "\n"


def text_lines(file: TextIO, *, ends: bool = False) -> Iterator[str]:
    """Yield the lines of a text file that was opened with LF as ``newline``.

    LF and CRLF end a line. Nothing else does (U+2028, U+0085, a vertical tab or a lone CR stand in
    texts), but CR in a file that has no LF at all.

    Args:
        file: The file.
        ends: Whether lines keep their ends.
    """
    for number, line in enumerate(file):
        if not number and not line.endswith("\n") and "\r" in line:
            lines = line.removesuffix("\r").split("\r")
            yield from (f"{one}\r" for one in lines) if ends else lines
        else:
            yield line if ends else line.removesuffix("\n").removesuffix("\r")


def codec_of(encoding: str, path: Path) -> str:
    """Return the codec for an encoding's name; UTF-8 becomes the one that skips a mark.

    Raises:
        DataError: if Python has no such codec.
    """
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise DataError(
            f"there is no encoding named {encoding!r}.", where=path, fix="utf-8 is the usual one."
        ) from None
    return "utf-8-sig" if name == "utf-8" else name


def _bad_bytes(path: Path, codec: str) -> tuple[int, bytes]:
    """Return where decoding fails, and the bytes there: the stream itself does not say."""
    decoder = codecs.getincrementaldecoder(codec)()
    done = 0
    with open_bytes(path) as raw:
        while True:
            block = raw.read(_BLOCK)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return done - pending + error.start, error.object[error.start : error.end]
            done += len(block)
            if not block:
                return done, b""
