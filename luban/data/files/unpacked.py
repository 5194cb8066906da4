"""Packed tar archives, unpacked once into the cache: each pass over them would unpack them anew."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import zlib
from pathlib import Path
from typing import Any

from luban.core.errors import CapacityError, DataError, LubanError
from luban.core.files import cache_root, folder_atomic, sha256_of, sweep, write_json
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
    root = cache_root() / "archives"
    folder = root / sha256_of(path)
    plain, facts = folder / "plain.tar", folder / "meta.json"
    try:
        if parse_json(facts.read_text(encoding="utf-8"), facts) == {"sha256": sha256_of(plain)}:
            return plain
    except (OSError, ValueError):
        pass
    try:
        sweep(root)
        shutil.rmtree(folder, ignore_errors=True)
        with doing(f"unpack {path.name}"), folder_atomic(folder) as aside:
            _unpack(path, aside / plain.name)
            write_json(aside / facts.name, {"sha256": sha256_of(aside / plain.name)})
    except (LubanError, EOFError, zlib.error, lzma.LZMAError):
        return None  # streaming says what is wrong with it, if anything is
    return plain


def _unpack(path: Path, plain: Path) -> None:
    """Write the plain bytes.

    Raises:
        CapacityError: if they are too many.
        DataError: if they are packed in another way than by gzip, bzip2 or xz.
    """
    with path.open("rb") as file:
        opener = _OPENERS.get(file.read(2))
    if opener is None:
        raise DataError("this is no packed tar.", where=path)
    room = min(_MOST, int(_SHARE * shutil.disk_usage(plain.parent).free))
    with opener(path, "rb") as packed, plain.open("wb") as file:
        while block := packed.read(_BLOCK):
            room -= len(block)
            if room < 0:
                raise CapacityError("unpacked, this archive is too large to keep.", where=path)
            file.write(block)
