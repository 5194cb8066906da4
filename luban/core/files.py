"""Atomic writes and digests: a kill at any moment leaves the old file or the new one."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from luban.core.errors import LubanError, disk_error, is_full


def cache_root() -> Path:
    """Return the folder of what can be made again: ``$LUBAN_CACHE``, or ``~/.cache/luban``."""
    return Path(os.environ.get("LUBAN_CACHE") or "~/.cache/luban").expanduser()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file aside, flush it to disk, then rename it over ``path``.

    Raises:
        CapacityError: if the disk is full.
        RunError: if the folder cannot be written.
    """
    # What is not UTF-8 in the name of a file becomes \udc80, which JSON reads back.
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _claimed(aside, lambda: aside.open("wb").close()), aside.open("wb") as file:
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

    A folder that is there already is replaced. An exception leaves things as they were. Files
    get the permissions that the umask asks for, whatever library wrote them.

    Raises:
        CapacityError: if the disk is full.
        RunError: if the folder cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        with _claimed(aside, lambda: aside.mkdir(parents=True, exist_ok=True)):
            yield aside
            # Libraries write through private temporary files (0600); what others may read is the
            # user's to say (umask), as the folder itself shows.
            readable = aside.stat().st_mode & 0o666
            for file in aside.rglob("*"):
                if file.is_file():
                    file.chmod(readable)
                    with file.open("rb") as handle:
                        os.fsync(handle.fileno())
            sync_folder(aside)
            _put_in_place(aside, path)
            sync_folder(path.parent)
    except LubanError:
        raise
    except Exception as error:
        # Libraries in Rust wrap the operating system's error as text.
        if isinstance(error, OSError) or "(os error " in str(error) or is_full(error):
            raise disk_error(error, path) from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def temporary_folder(inside: Path | None = None) -> Iterator[Path]:
    """Give an empty folder that is removed at the end, or after a kill by the next command.

    Args:
        inside: Where it is made, a folder that some command sweeps; the system's folder of
            temporary files if None, which is swept of Luban's own leftovers here.

    Raises:
        CapacityError: if the disk is full.
    """
    if inside is None:
        sweep_temporary()
    root = inside or Path(tempfile.gettempdir())
    path = root / f".{_TEMPORARY}{secrets.token_hex(8)}.{os.getpid()}.tmp"
    try:
        with _claimed(path, lambda: path.mkdir(mode=0o700, exist_ok=True)):
            yield path
    except LubanError:
        raise
    except Exception as error:
        if is_full(error):
            raise disk_error(error, path) from error
        raise
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sweep_temporary() -> list[str]:
    """Remove what killed commands left in the system's folder of temporary files."""
    return sweep(Path(tempfile.gettempdir()), only=_TEMPORARY)


def sweep(folder: Path, only: str = "") -> list[str]:
    """Remove what killed processes of this user left aside in a folder; return the names.

    A folder that was moved away to make room for a new one, which then never came, is moved back.
    What a living process is still filling stays: it holds a lock on it.

    Args:
        folder: Where to look; not below it.
        only: What the names begin with, after the dot.
    """
    swept = []
    for path in sorted(folder.glob(f".{only}*")):
        leftover = _ASIDE.fullmatch(path.name)
        if not leftover or not _is_ours(path):
            continue
        try:
            with _held(path, wait=False):
                target = path.with_name(leftover["name"])
                if leftover["kind"] == "old" and not target.exists():
                    path.rename(target)
                elif path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        except (BlockingIOError, FileNotFoundError, PermissionError):
            continue
        swept.append(path.name)
    return swept


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


#: How files and folders are called until they are whole, or once they are replaced.
_ASIDE = re.compile(r"\.(?P<name>.+)\.\d+\.(?P<kind>tmp|old)")
_TEMPORARY = "luban-"
_ATTEMPTS = 10
_AT_CWD, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of Linux


def _is_ours(path: Path) -> bool:
    """Return whether a file or folder, and no link, belongs to this user."""
    with suppress(OSError):
        return not path.is_symlink() and path.lstat().st_uid == os.geteuid()
    return False


@contextmanager
def _held(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock on a file or folder that is being written aside.

    Raises:
        BlockingIOError: if another process holds it and ``wait`` is not set.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


@contextmanager
def _claimed(path: Path, make: Callable[[], None]) -> Iterator[None]:
    """Make a file or folder and hold its lock, also where ``sweep`` takes it away in between."""
    with ExitStack() as stack:
        for attempt in range(_ATTEMPTS):
            make()
            try:
                stack.enter_context(_held(path))
            except FileNotFoundError:
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            if path.exists():
                break
            stack.close()
        yield


def _put_in_place(aside: Path, path: Path) -> None:
    """Make a folder appear as ``path`` in one step; one that was there is removed.

    Where the system cannot exchange two folders, there is a moment without either; ``sweep`` then
    brings the old one back.
    """
    if not path.is_dir():
        aside.replace(path)
        return
    if _exchange(aside, path):
        shutil.rmtree(aside)
        return
    old = aside.with_suffix(".old")
    shutil.rmtree(old, ignore_errors=True)  # of a process of this number that was killed
    path.rename(old)
    aside.rename(path)
    shutil.rmtree(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names of one folder in one step; False where the system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(one), os.fsencode(other)
    return bool(renameat2(_AT_CWD, names[0], _AT_CWD, names[1], _EXCHANGE) == 0)
