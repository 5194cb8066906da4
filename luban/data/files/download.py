"""The catalogue of public data sets: what is in it, what is here, and fetching the rest."""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import urllib.error
import urllib.request
import zlib
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic import Field

from luban.core.component import Settings
from luban.core.errors import DataError
from luban.core.files import write_atomic
from luban.core.progress import tracked
from luban.core.registry import nearest
from luban.core.yaml_json import parse_yaml
from luban.data.files.reading import open_bytes
from luban.data.split import Split

_RAW = "https://raw.githubusercontent.com"
_SECONDS = 60
_BLOCK = 1 << 18  #: bytes read at once


class Remote(Settings):
    """One file of a data set.

    Attributes:
        name: Its name on this machine; a gzipped copy, ``<name>.gz``, will do as well.
        url: Where it is fetched from; empty if no server has it in this form.
        sha256: The digest of the unpacked file.
    """

    name: str
    url: str = ""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Entry(Settings):
    """One data set of the catalogue.

    Attributes:
        title: What it is.
        licence: As its source states it.
        address: A page about it.
        note: What a user must know: what was made of it, what it is not comparable with.
        folder: Its folder on this machine; empty: the set's own name.
        read: The source that reads it, with its arguments. Its ``path`` names files by their
            ``name``; without one, the files are read one after the other.
        split: How held-out splits are dealt that ``read`` does not give (``by`` says how).
        files: Its files.
    """

    title: str
    licence: str
    address: str
    note: str = ""
    folder: str = ""
    read: dict[str, Any]
    split: Split | None = None
    files: tuple[Remote, ...]


@cache
def catalogue() -> dict[str, Entry]:
    """Return every data set of ``catalogue.yaml``, by name."""
    path = Path(__file__).parents[1] / "catalogue.yaml"
    entries, _ = parse_yaml(path.read_text(encoding="utf-8"), path.name)
    return {name: Entry.from_dict(entry, where=name) for name, entry in entries.items()}


def catalogue_entry(name: str) -> Entry:
    """Return a data set by name.

    Raises:
        DataError: if the catalogue has no such set; it names the nearest.
    """
    known = catalogue()
    if name not in known:
        raise DataError(
            f"the catalogue has no data set {name!r}.",
            where="data.source.dataset",
            expected=", ".join(known),
            fix=nearest(name, list(known)) or "read your own files with `name: text` or `jsonl`.",
        )
    return known[name]


def data_root() -> Path:
    """Return the folder of data sets: ``$LUBAN_DATA``, or ``~/.cache/luban/data``."""
    return Path(os.environ.get("LUBAN_DATA") or "~/.cache/luban/data").expanduser()


def local_files(name: str, entry: Entry, *, download: bool, verify: bool = True) -> dict[str, Path]:
    """Return the set's files on this machine by name, fetching what is missing if told to.

    Raises:
        DataError: if a file is missing and may not be fetched, cannot be, or is not what the
            catalogue expects.
    """
    folder = data_root() / (entry.folder or name)
    found = {}
    for remote in entry.files:
        plain, packed = folder / remote.name, folder / f"{remote.name}.gz"
        if packed.is_file() and not plain.is_file():
            plain = packed
        elif not plain.is_file():
            if not (download and remote.url):
                raise _absent(name, entry, remote, plain)
            print(
                f"{entry.title}, licence: {entry.licence}\nfetching {remote.url}", file=sys.stderr
            )
            write_atomic(plain, fetch(remote))
        if verify:
            _verify(remote, plain)
        found[remote.name] = plain
    return found


def fetch(remote: Remote) -> bytes:
    """Download a file and check it. ``LUBAN_MIRROR`` replaces GitHub's raw file server.

    Raises:
        DataError: if the server cannot be reached or sends something else.
    """
    mirror = os.environ.get("LUBAN_MIRROR", _RAW).rstrip("/")
    url = remote.url.replace(_RAW, mirror)
    request = urllib.request.Request(url, headers={"User-Agent": "luban"})
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
            blocks = iter(partial(answer.read, _BLOCK), b"")
            data = b"".join(tracked(blocks, f"fetch {remote.name}", size / _BLOCK))
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise DataError(
            f"the download failed ({error}).",
            where=url,
            fix="try again, set LUBAN_MIRROR to a mirror of raw.githubusercontent.com, or put "
            f"the file at {data_root()}.",
        ) from None
    digest = hashlib.sha256(_unpacked(data)).hexdigest()
    if digest != remote.sha256:
        raise DataError(
            "the downloaded file is not the one the catalogue knows.",
            where=url,
            expected=f"sha256 {remote.sha256}",
            got=f"sha256 {digest}",
        )
    return data


def _unpacked(data: bytes) -> bytes:
    try:
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (EOFError, OSError, zlib.error):
        return data


def unpacked_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, unpacked if it is gzip."""
    with open_bytes(path) as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


#: Digests of files by path, size and time stamp: each file is read once.
_digests: dict[tuple[str, int, int], str] = {}


def _verify(remote: Remote, path: Path) -> None:
    stat = path.stat()
    key = (str(path.absolute()), stat.st_size, stat.st_mtime_ns)
    if key not in _digests:
        _digests[key] = unpacked_sha256(path)
    if _digests[key] != remote.sha256:
        raise DataError(
            "this file is not the one the catalogue knows.",
            where=path,
            expected=f"sha256 {remote.sha256} (unpacked)",
            got=f"sha256 {_digests[key]}",
            fix="remove it and fetch it again, or set data.source.verify: false if it was "
            "changed on purpose.",
        )


def _absent(name: str, entry: Entry, remote: Remote, path: Path) -> DataError:
    fix = "set data.source.download: true to fetch it, or LUBAN_DATA to the folder that has it."
    if not remote.url:
        fix = (
            f"it cannot be fetched in this form: {entry.note} Set LUBAN_DATA to the folder that "
            "has it."
        )
    return DataError(
        f"the data set {name!r} is not on this machine.",
        where=path,
        expected=f"{entry.title} (licence: {entry.licence})",
        fix=fix,
    )
