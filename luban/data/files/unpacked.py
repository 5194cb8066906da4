"""Packed tar archives, unpacked once into the cache: each pass over them would unpack them anew."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

from luban.core.errors import CapacityError
from luban.core.files import cache_root, sha256_of, write_json
from luban.core.progress import doing
from luban.core.yaml_json import parse_json

_SMALL = 1 << 20  #: packed bytes below which unpacking again is as fast as looking
_MOST = 1 << 34  #: unpacked bytes beyond which an archive is only streamed
_SHARE = 0.5  #: of the free disk, that an unpacked archive may take
_BLOCK = 1 << 20
_OPENERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
}
#: Packed files by path, size and time stamp: what was found out of them in this process.
_seen: dict[tuple[str, int, int], Path | None] = {}


def unpacked(path: Path) -> Path | None:
    """Return the plain tar of a packed one, in the cache; None: it is to be streamed.

    It is unpacked when it is read for the second time in a process, under the SHA-256 of the
    packed bytes, and compared with its own digest once in each process. Small ones, those that
    would take too much of the disk, and damaged ones are streamed.

    Args:
        path: A tar packed with gzip, bzip2 or xz.
    """
    stat = path.stat()
    key = (str(path.absolute()), stat.st_size, stat.st_mtime_ns)
    if stat.st_size < _SMALL:
        return None
    if key not in _seen:
        _seen[key] = None
        return None
    if _seen[key] is None:
        _seen[key] = _kept(path)
    found = _seen[key]
    return found if found is not None and found.is_file() else None


def _kept(path: Path) -> Path | None:
    folder = cache_root() / "archives"
    plain = folder / f"{sha256_of(path)}.tar"
    facts = plain.with_suffix(".json")
    try:
        told = parse_json(facts.read_text(encoding="utf-8"), facts)
        if told == {"sha256": sha256_of(plain)}:
            return plain
    except (OSError, ValueError):
        pass
    aside = folder / f".{plain.name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with doing(f"unpack {path.name}"):
            if not _unpack(path, aside):
                return None
            write_json(facts, {"sha256": sha256_of(aside)})
            aside.replace(plain)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, CapacityError):
        return None  # streaming says what is wrong with it
    finally:
        aside.unlink(missing_ok=True)
    return plain


def _unpack(path: Path, aside: Path) -> bool:
    """Write the plain bytes; return whether they were not too many."""
    with path.open("rb") as file:
        opener = _OPENERS.get(file.read(2))
    if opener is None:
        return False
    room = min(_MOST, int(_SHARE * shutil.disk_usage(aside.parent).free))
    with opener(path, "rb") as packed, aside.open("wb") as plain:
        while block := packed.read(_BLOCK):
            room -= len(block)
            if room < 0:
                return False
            plain.write(block)
        plain.flush()
        os.fsync(plain.fileno())
    return True
