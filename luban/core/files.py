"""Atomic writes and digests: a kill at any moment leaves the old file or the new one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from luban.core.errors import CapacityError, LubanError, RunError


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file aside, flush it to disk, then rename it over ``path``.

    Raises:
        CapacityError: if the disk is full.
        RunError: if the folder cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        aside.unlink(missing_ok=True) if path.parent.is_dir() else None
        raise disk_error(error, path) from error


def write_json(path: Path, data: Any) -> None:
    """Write plain data as indented UTF-8 JSON, atomically."""
    write_atomic(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=True) + "\n")


@contextmanager
def folder_atomic(path: Path) -> Iterator[Path]:
    """Give a folder beside ``path`` to fill; flushed and renamed to ``path`` at the end.

    A folder that is there already is replaced. An exception leaves things as they were.

    Raises:
        CapacityError: if the disk is full.
        RunError: if the folder cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        yield aside
        for file in aside.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        sync_folder(aside)
        if path.is_dir():
            old = aside.with_suffix(".old")
            shutil.rmtree(old, ignore_errors=True)  # of a process of this number that was killed
            path.rename(old)
            aside.rename(path)
            shutil.rmtree(old)
        else:
            aside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if isinstance(error, LubanError):
            raise
        raise disk_error(error, path) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal, without loading it whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def disk_error(error: OSError, path: Path) -> CapacityError | RunError:
    """Turn an operating-system error of a write into one that says what to do."""
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return CapacityError(
            "the disk is full.", where=path, fix="free some space, then run the same command again."
        )
    return RunError(
        f"cannot write here ({error.strerror}).",
        where=path,
        fix="choose another folder with runs=FOLDER, or change its permissions.",
    )
