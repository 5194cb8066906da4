"""Folders and archives with files in them, for tests of what reads them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from luban.core.contracts import Record, SetApart, Source
from luban.core.errors import UnfitError
from luban.data.media.images import to_png
from luban.data.media.media_files import Media, media_in


def png(shade: int = 0, size: tuple[int, int] = (4, 6)) -> bytes:
    return to_png(np.full((*size, 3), shade, np.uint8))


def write(root: Path, files: Mapping[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def tar(path: Path, files: Mapping[str, bytes | str], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def zipped(
    path: Path, files: Mapping[str, bytes | str], packed: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", packed) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def packed(root: Path, form: str, files: Mapping[str, bytes | str]) -> Path:
    """Return the files as a folder or an archive."""
    if form == "folder":
        return write(root / "data", files)
    if form.startswith("zip"):
        kind = zipfile.ZIP_STORED if form == "zip-stored" else zipfile.ZIP_DEFLATED
        return zipped(root / "data.zip", files, kind)
    return tar(root / f"data.{form}", files, f"w:{form.partition('.')[2]}")


def source(name: str, path: Any, **fields: Any) -> Source:
    return Source.from_dict({"name": name, "path": path, **fields})


def rows(found: Source, split: str = "train") -> list[Record]:
    return list(found.read(split))


def content(record: Record, field: str = "image") -> bytes:
    media = media_in(record, field)
    assert isinstance(media, Media)
    return media.read()


FORMS = ["folder", "tar", "tar.gz", "tar.xz", "zip", "zip-stored"]


def apart(found: Source, split: str = "train") -> list[UnfitError]:
    """Return what is wrong with the records that a source sets apart."""
    return [entry.error for entry in found.read(split) if isinstance(entry, SetApart)]
