"""Whether the files of a store are still as they were written, and when that was last checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from luban.core.component import digest_of
from luban.core.errors import CapacityError, RunError
from luban.core.files import sha256_of, write_json
from luban.core.yaml_json import json_of

META, _CHECKED = "meta.json", "checked.json"


def digest_of_meta(meta: Mapping[str, Any]) -> str:
    """Return the digest of what ``meta.json`` holds beside this digest itself."""
    return digest_of({key: value for key, value in meta.items() if key != "self"})


def damaged_file(folder: Path, digests: Mapping[str, str], *, thorough: bool) -> str:
    """Return the first file that is missing, extra or not what its digest says; empty: none."""
    # Another process may be writing its ``checked.json`` aside.
    names = {p.name for p in folder.iterdir() if not p.name.startswith(f".{_CHECKED}.")}
    names -= {META, _CHECKED}
    if odd := sorted(names ^ digests.keys()):
        return odd[0]
    stamps = _stamps(folder, digests)
    if not thorough:
        try:
            if json_of((folder / _CHECKED).read_text(encoding="utf-8")) == stamps:
                return ""
        except (OSError, ValueError):
            pass
    for name, digest in digests.items():
        if sha256_of(folder / name) != digest:
            return name
    remember(folder, digests)
    return ""


def remember(folder: Path, digests: Iterable[str]) -> None:
    """Note that all digests held, so that the next process need not compute them."""
    with suppress(CapacityError, RunError):  # a shared cache may be read-only
        write_json(folder / _CHECKED, _stamps(folder, digests))


def _stamps(folder: Path, names: Iterable[str]) -> dict[str, list[int]]:
    """Return what changes when a file is written: its inode, size and times, by name."""
    stats = {name: (folder / name).stat() for name in sorted(names)}
    return {
        name: [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        for name, stat in stats.items()
    }
