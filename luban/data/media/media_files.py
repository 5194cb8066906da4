"""Images and recordings of a record: files, parts of archives or bytes, read when needed.

In records they are ``Media``, arrays that a source has already read, or (in JSON) base64. Text
never names a file: a server must not read what a client likes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from luban.core.contracts import Record
from luban.core.errors import DataError, MissingExtra, UnreadableError
from luban.data.files.reading import missing

Array: TypeAlias = "np.ndarray[Any, Any]"
#: A field to the extra, and its modules and libraries, that read it.
_LIBRARIES = {
    "image": ("vision", {"PIL": "pillow"}),
    "audio": ("audio", {"soundfile": "soundfile", "soxr": "soxr"}),
}


@dataclass(frozen=True, slots=True)
class Media:
    """An encoded image or recording.

    Attributes:
        name: For messages: a path, or ``archive/member``.
        source: The bytes, or the file that holds them.
        offset: Where in the file they begin.
        length: How many they are (None: to the end of the file).
        begin: Of a recording: the second at which the part begins that is meant (None: all is).
        seconds: How long that part is (None: to the end); without ``begin``, how long all is said
            to be, which is checked.
    """

    name: str
    source: Path | bytes
    offset: int = 0
    length: int | None = None
    begin: float | None = None
    seconds: float | None = None

    @property
    def size(self) -> int:
        """Number of bytes; 0 if the file is not there."""
        if isinstance(self.source, bytes):
            return len(self.source)
        if self.length is not None:
            return self.length
        return self.source.stat().st_size if self.source.is_file() else 0

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            DataError: if there is no such file.
            UnreadableError: if it cannot be read.
        """
        if isinstance(self.source, bytes):
            return self.source
        try:
            with self.source.open("rb") as file:
                file.seek(self.offset)
                return file.read(-1 if self.length is None else self.length)
        except FileNotFoundError:
            raise missing(self.source) from None
        except OSError as error:
            raise UnreadableError(
                f"this file cannot be read ({error.strerror}).", where=self.name
            ) from None

    def __str__(self) -> str:
        return self.name


def media_in(record: Record, field: str) -> Media | Array | None:
    """Return the image or recording of a record, however it is written; None if it has none.

    It can be ``Media``, an array, bytes, ``{"bytes", "path"}`` as in Parquet files of Hugging
    Face, or base64 text, bare or as a ``data:`` URL.

    Raises:
        DataError: if it is something else.
    """
    value, where = record.get(field), str(record.get("_where", ""))
    if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
        return Media(str(value.get("path") or where or field), value["bytes"])
    if isinstance(value, bytes):
        return Media(where or field, value)
    if isinstance(value, str):
        return Media(where or field, _from_base64(value, field, where))
    if value is None or isinstance(value, Media | np.ndarray):
        return value
    raise DataError(
        f"the field {field!r} holds no file.",
        where=where,
        expected="a file of the data (data.source.media), bytes, or base64 text",
        got=value,
    )


def _from_base64(text: str, field: str, where: str) -> bytes:
    try:
        return base64.b64decode(
            text.partition(",")[2] if text[:5] == "data:" else text, validate=True
        )
    except (binascii.Error, ValueError):
        raise DataError(
            f"the field {field!r} is text, but not base64.",
            where=where,
            got=text,
            fix="names of files need data.source.media in a recipe "
            f"({{{field}: FOLDER}}); elsewhere send the file itself.",
        ) from None


def check_readable(fields: Iterable[str]) -> None:
    """Refuse to begin where what images or recordings are read with is not installed.

    Raises:
        MissingExtra: naming the first library that is missing.
    """
    for field in fields:
        extra, libraries = _LIBRARIES.get(field, ("", {}))
        for module, library in libraries.items():
            if find_spec(module) is None:
                raise MissingExtra(library, extra)


def content_of(value: Any) -> Any:
    """Return what stands for a value where JSON has no form for it: files by their content."""
    if isinstance(value, Media) and value.begin is not None:
        whole = content_of(replace(value, begin=None, seconds=None))
        return _digest(f"{whole} {value.begin} {value.seconds}".encode())
    if isinstance(value, Media) and isinstance(value.source, Path):
        return _digest_of_file(value, value.source)
    if isinstance(value, Media):
        return _digest(value.read())
    if isinstance(value, bytes):
        return _digest(value)
    if isinstance(value, np.ndarray):
        return _digest(np.ascontiguousarray(value).tobytes(), f"{value.dtype}{value.shape}")
    return str(value)


def holds_media(value: Any) -> bool:
    """Return whether a value is an image or a recording rather than text or numbers."""
    return isinstance(value, Media | bytes | np.ndarray) or (
        isinstance(value, dict) and isinstance(value.get("bytes"), bytes)
    )


def media_size(value: Any) -> int:
    """Return about how many bytes a value holds; 0 for what is no image or recording."""
    if isinstance(value, Media):
        return value.size
    if isinstance(value, dict):
        value = value.get("bytes")
    return value.nbytes if isinstance(value, np.ndarray) else len(value or b"")


def _digest_of_file(media: Media, path: Path) -> str:
    """Return the digest of a file or a part of it; computed once while size and time stamp stay."""
    try:
        stat = path.stat()
    except OSError:
        return _digest(media.read())  # which says what is wrong
    place = (str(path.absolute()), media.offset, media.length)
    seen = (stat.st_size, stat.st_mtime_ns)
    if _digests.get(place, ("", 0, 0))[1:] != seen:
        _digests[place] = (_digest(media.read()), *seen)
    return _digests[place][0]


# Splits, cleaners and the search for overlap ask for it at every pass over the data.
_digests: dict[tuple[str, int, int | None], tuple[str, int, int]] = {}


def _digest(data: bytes, form: str = "") -> str:
    return blake2b(data, digest_size=16, person=form.encode()[:16]).hexdigest()
