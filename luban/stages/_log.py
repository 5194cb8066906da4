"""The log of training, ``metrics.jsonl``: its digest in checkpoints, and what resuming keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luban.core.digests import sha256_of_start
from luban.core.errors import RunError
from luban.run import Run


def log_digest(path: Path) -> dict[str, Any]:
    """Return size and SHA-256 of the log as it is; both of nothing where there is none yet."""
    size = path.stat().st_size if path.is_file() else 0
    digest = sha256_of_start(path, size) if size else hashlib.sha256().hexdigest()
    return {"size": size, "sha256": digest}


def log_beginning(run: Run, recorded: Mapping[str, Any]) -> bytes:
    """Return the part of a run's log that was there when a checkpoint was saved.

    Args:
        run: The run.
        recorded: What ``log_digest`` returned then.

    Raises:
        RunError: if the log no longer begins with it.
    """
    path = run.path / "metrics.jsonl"
    content = path.read_bytes()[: recorded["size"]] if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != recorded["sha256"]:
        raise RunError(
            "the log of training was changed or cut, and cannot be made again.",
            where=path,
            expected=f"{recorded['size']:,} bytes as they were logged",
            got=f"{len(content):,} bytes" if path.is_file() else "no file",
            fix="bring the file back from a copy, or train again under another name=NAME.",
        )
    return content
