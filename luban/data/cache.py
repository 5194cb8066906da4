"""Stores by content: what went in decides the folder, so that a stale one cannot be read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from luban.core.code_files import encoding_code
from luban.core.component import digest_of
from luban.core.contracts import Task
from luban.core.errors import DataError, RunError
from luban.core.files import cache_root, sha256_of, sweep, temporary_folder
from luban.data import store
from luban.data.dataset import Data
from luban.data.store import Progress, Store


def store_folder(key: str) -> Path:
    """Return where the store of a content key lies."""
    return cache_root() / "stores" / key


def encoded(
    task: Task,
    data: Data,
    split: str,
    progress: Progress | None = None,
    *,
    thorough: bool = False,
) -> Store:
    """Return the store of a split, built now unless one with this very content is there.

    Args:
        task: It has learned.
        data: Where the records come from.
        split: Which of them.
        progress: Told how far the encoding is.
        thorough: Compare every byte of a store that is there with its digest, and refuse one that
            is damaged instead of building it again.

    Raises:
        DataError: if the split is empty, a record cannot be encoded or a file changes meanwhile.
        CapacityError: if the disk is full.
    """
    key, files = cache_key(task, data, split), data.files_digest()
    folder = store_folder(key)
    sweep(folder.parent)
    sweep(folder)
    if folder.exists():
        try:
            return Store(folder, thorough=thorough)
        except DataError:
            if thorough:
                raise
            _remove(folder)
    try:
        built = store.build(task, data.entries(split), folder, progress, key)
    except RunError:
        if folder.exists():  # another process was faster
            return Store(folder)
        raise
    if data.files_digest() != files:
        _remove(folder)
        raise DataError(
            "the data changed while they were read.",
            where=", ".join(str(path) for path in data.source.files()[:3]),
            fix="run it again once nothing writes there.",
        )
    return built


def cache_key(task: Task, data: Data, split: str) -> str:
    """Return a digest of all that decides the encoded bytes.

    These are: the files' content, the source, cleaners and split with their code, the task
    with its code and all it has learned, and the format of stores.
    """
    parts = {
        "files": data.files_digest(),
        "data": data.replace(max_overlap=0.0).to_dict(),
        "split": split,
        "task": task.to_dict(),
        "learned": learned_digest(task),
        "code": [data.code_digest(), task.code_digest(), encoding_code()],
        "format": store.FORMAT,
    }
    return digest_of(parts)


def learned_digest(task: Task) -> str:
    """Return a digest of the files in which a task keeps what it has learned."""
    with temporary_folder() as folder:
        task.save(folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return digest_of([(str(path.relative_to(folder)), sha256_of(path)) for path in files])


def _remove(folder: Path) -> None:
    """Take a damaged store away in one step, so that no one reads it meanwhile."""
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)  # ``sweep`` may be faster
