"""The log of training, ``metrics.jsonl``: its digest in checkpoints, and what resuming keeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from luban.core.contracts import Tracker
from luban.core.digests import sha256_of_start
from luban.core.errors import RunError, disk_error
from luban.engine.run_state import LogDigest
from luban.run import Run


class Log:
    """Writes ``metrics.jsonl``, and tells the trackers.

    Args:
        run: The run; where it is not ``main``, nothing is written.
        trackers: Who else wants to know.
    """

    def __init__(self, run: Run, trackers: Sequence[Tracker]) -> None:
        self._run = run
        self._trackers = trackers if run.main else ()
        self._open = False
        self._last: tuple[int, dict[str, float]] | None = None

    @contextmanager
    def trackers(self) -> Iterator[None]:
        """Open the trackers for a while."""
        run = self._run
        for tracker in self._trackers:
            tracker.start(run.path, run.recipe.name, run.recipe.to_dict())
        self._open = True
        try:
            yield
        finally:
            self._open = False
            for tracker in self._trackers:
                tracker.finish()

    def see(self, step: int, values: dict[str, float], *, due: bool) -> None:
        """Look at the numbers of a step, and write them if they are due."""
        self._last = None if due else (step, values)
        if due:
            self.write(step, values)

    def write_last(self) -> None:
        """Write the numbers of the last step, if they are not yet written."""
        if self._last is not None:
            self.write(*self._last)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Append a line."""
        if not self._run.main:
            return
        path = self._run.path / "metrics.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise disk_error(error, path) from error
        for tracker in self._trackers if self._open else ():
            tracker.log(step, values)

    def keep(self, recorded: LogDigest | None, step: int) -> None:
        """Drop lines of steps that will be done again.

        Args:
            recorded: What ``log_digest`` returned when the checkpoint was saved, if it was called.
            step: The step of the checkpoint.

        Raises:
            RunError: if the lines before them are not those that were logged.
        """
        run = self._run
        if run.main and recorded:
            run.write_bytes("metrics.jsonl", log_beginning(run, recorded))
            return
        lines = [json.dumps(line) + "\n" for line in run.metrics() if line["step"] <= step]
        run.write_text("metrics.jsonl", "".join(lines))


def log_digest(path: Path) -> LogDigest:
    """Return size and SHA-256 of the log as it is; both of nothing where there is none yet."""
    size = path.stat().st_size if path.is_file() else 0
    digest = sha256_of_start(path, size) if size else hashlib.sha256().hexdigest()
    return LogDigest(size, digest)


def log_beginning(run: Run, recorded: LogDigest) -> bytes:
    """Return the part of a run's log that was there when a checkpoint was saved.

    Args:
        run: The run.
        recorded: What ``log_digest`` returned then.

    Raises:
        RunError: if the log no longer begins with it.
    """
    path = run.path / "metrics.jsonl"
    content = path.read_bytes()[: recorded.size] if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != recorded.sha256:
        raise RunError(
            "the log of training was changed or cut, and cannot be made again.",
            where=path,
            expected=f"{recorded.size:,} bytes as they were logged",
            got=f"{len(content):,} bytes" if path.is_file() else "no file",
            fix="bring the file back from a copy, or train again under another name=NAME.",
        )
    return content
