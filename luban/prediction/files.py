"""Predict a file: streamed, in order, and resumed after a kill where it was.

Output and bad rows grow in ``<file>.part``; ``<output>.progress.json`` says how much of them
is good, and of which input and model. Work goes in windows of a fixed number of rows, so a
resumed output is the uninterrupted one, bit by bit.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias

import numpy as np

from luban.core.contracts import Example, Record
from luban.core.errors import DataError, RunError, disk_error
from luban.core.files import sync_folder, write_json
from luban.core.yaml_json import json_of
from luban.data.files.records import own_fields
from luban.inference.predictor import Predictor, file_fields

Rows: TypeAlias = Iterator[tuple[int, Record | DataError]]
Entry: TypeAlias = dict[str, Any]
Show: TypeAlias = Callable[[int, int], None]

#: Called with a row's entry, as encoded, and what was predicted of it.
See: TypeAlias = Callable[[Entry, Example, Any], None]

#: Batches in a window: enough to sort rows by length.
BATCHES = 16
#: The same where records are files, which are much larger once they are decoded.
FILE_BATCHES = 2
_SHOWN = 300  #: characters of what is wrong in the file of bad rows
#: Seconds between two commits: a kill loses no more work than this.
COMMIT_EVERY = 1.0


def predict_rows(
    predictor: Predictor, rows: Rows, start: int = 0, see: See | None = None
) -> Iterator[list[tuple[Entry, bool]]]:
    """Yield windows of (what to write of a row, whether the row was good), in order.

    Args:
        predictor: What predicts.
        rows: Numbered records, and errors in place of bad ones.
        start: Rows to skip: a multiple of a window.
        see: Shown every good row.
    """
    rows = islice(rows, start, None)
    files = file_fields(predictor.task.record_schema())
    size = predictor.batch_size * (FILE_BATCHES if files else BATCHES)
    while window := list(islice(rows, size)):
        good = [record for _, record in window if not isinstance(record, DataError)]
        looked = iter(predictor.examine(good))
        done = []
        for number, record in window:
            bad = isinstance(record, DataError)
            example, answer = ({}, record) if bad else next(looked)
            done.append(_entry(number, record, answer, files))
            if see is not None and done[-1][1]:
                see(done[-1][0], example, answer)
        yield done


def predict_file(
    job: Job, rows: Rows, predictor: Predictor, show: Show, see: See | None = None
) -> Progress:
    """Predict the rest of a job's rows and put its files in place.

    Args:
        job: Where to write, and what was begun.
        rows: All rows of the input.
        predictor: What predicts.
        show: Called with the rows done and how many of them were bad.
        see: Shown every good row.
    """
    with job:
        if not job.done.complete:
            committed = time.monotonic()
            for window in predict_rows(predictor, rows, job.done.rows, see):
                job.add(window)
                show(job.done.rows, job.done.bad)
                if time.monotonic() - committed >= COMMIT_EVERY:
                    job.commit()
                    committed = time.monotonic()
            job.commit(complete=True)
        job.finish()
    return job.done


@dataclass(slots=True)
class Progress:
    """How far a job is.

    Attributes:
        of: What the job is: digests of input and model, and how rows are read.
        rows: Rows done, good and bad.
        bad: Bad rows among them.
        output_bytes: How much of the output is good.
        bad_bytes: How much of the file of bad rows is good.
        columns: Of an output in CSV.
        complete: Whether only the renames are left.
    """

    of: dict[str, Any]
    rows: int = 0
    bad: int = 0
    output_bytes: int = 0
    bad_bytes: int = 0
    columns: list[str] = field(default_factory=list)
    complete: bool = False


class Job:
    """The files of a prediction under way; use it in a ``with`` block.

    Args:
        output: The file to write: JSON Lines, or CSV or TSV by its suffix.
        of: What makes the same job; compared with what was begun. Without a digest of its
            ``input`` nothing is resumed.
        force: Begin anew, whatever is there.

    Raises:
        RunError: if the output exists, or belongs to another job.
    """

    def __init__(self, output: Path, of: dict[str, Any], *, force: bool = False) -> None:
        self.output, self.bad = output, output.with_name(f"{output.name}.bad.jsonl")
        self._sidecar = output.with_name(f"{output.name}.progress.json")
        self._delimiter = {".csv": ",", ".tsv": "\t"}.get(output.suffix.lower(), "")
        begun = self._begun() if of["input"] and not force else None
        if begun is None and output.exists() and not force:
            raise RunError(
                "there is a file by that name.", where=output, fix="another --output, or --force."
            )
        if begun is not None and begun.of != of:
            changed = [key for key in of if begun.of.get(key) != of[key]]
            raise RunError(
                f"what was begun here had another {' and '.join(changed)}.",
                where=self._sidecar,
                fix="go on as it was begun, or begin anew with --force.",
            )
        self.resumed_at = begun.rows if begun else 0
        self.done = begun or Progress(of)
        self._files: list[BinaryIO] = []

    def add(self, window: Sequence[tuple[Entry, bool]]) -> None:
        """Append the rows of a window; nothing of it counts before ``commit``."""
        lines, bad = [], []
        for entry, good in window:
            if good:
                lines.append(self._line(entry))
            else:
                bad.append(json_line(entry))
        with _disk(self.output):
            self.done.output_bytes += self._files[0].write("".join(lines).encode())
            self.done.bad_bytes += self._files[1].write("".join(bad).encode())
        self.done.rows += len(window)
        self.done.bad += len(bad)

    def commit(self, *, complete: bool = False) -> None:
        """Make what was added survive a kill."""
        self.done.complete = complete
        with _disk(self.output):
            for file in self._files:
                file.flush()
                os.fsync(file.fileno())
        write_json(self._sidecar, asdict(self.done))

    def finish(self) -> None:
        """Give the files their names; a kill in between is made good by the same command."""
        with _disk(self.output):
            for path in (self.bad, self.output):
                if path == self.bad and not self.done.bad:
                    _part(path).unlink(missing_ok=True)
                    path.unlink(missing_ok=True)
                elif _part(path).exists():
                    _part(path).replace(path)
            sync_folder(self.output.parent)
            self._sidecar.unlink()

    def __enter__(self) -> Self:
        with _disk(self.output):
            self.output.parent.mkdir(parents=True, exist_ok=True)
            if self.done.complete:
                return self
            sizes = (self.done.output_bytes, self.done.bad_bytes)
            paths = (_part(self.output), _part(self.bad))
            self._files = [path.open("ab") for path in paths]
            try:
                fcntl.flock(self._files[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.__exit__()
                raise RunError("another process writes this file.", where=self.output) from None
            for file, size in zip(self._files, sizes, strict=True):
                file.truncate(size)
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def _begun(self) -> Progress | None:
        if not self._sidecar.exists():
            return None
        try:
            begun = Progress(**json_of(self._sidecar.read_text(encoding="utf-8")))
            parts = ((self.output, begun.output_bytes), (self.bad, begun.bad_bytes))
            whole = begun.complete or all(_part(p).stat().st_size >= n for p, n in parts)
        except (OSError, ValueError, TypeError):
            whole = False
        if not whole:
            raise RunError(
                "what was begun here is damaged.", where=self._sidecar, fix="--force begins anew."
            )
        return begun

    def _line(self, entry: Entry) -> str:
        if not self._delimiter:
            return json_line(entry)
        cells = {key: _cell(value) for key, value in entry.items()}
        text = io.StringIO()
        first = not self.done.columns
        self.done.columns = self.done.columns or list({"row": 0, "id": 0, **cells})
        if not cells.keys() <= set(self.done.columns):
            raise RunError(
                "these predictions make no table.",
                where=self.output,
                expected=f"columns {', '.join(self.done.columns)}",
                got=", ".join(cells),
                fix="write JSON Lines: --output NAME.jsonl.",
            )
        table = csv.DictWriter(
            text, self.done.columns, delimiter=self._delimiter, lineterminator="\n"
        )
        if first:
            table.writeheader()
        table.writerow(cells)
        return text.getvalue()


def json_line(entry: Entry) -> str:
    """Return an entry as a line of JSON.

    Raises:
        RunError: if it holds numbers that are not finite.
    """
    try:
        text = json.dumps(entry, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise RunError(
            "the model gives numbers that are not finite.", got=str(entry), fix="train it again."
        ) from None
    whole = text.isascii() or text.encode(errors="replace").decode() == text
    return (text if whole else json.dumps(entry)) + "\n"  # half a character can only be escaped


def _entry(
    number: int, record: Record | DataError, answer: Any, files: Sequence[str]
) -> tuple[Entry, bool]:
    entry: Entry = {"row": number}
    if not isinstance(record, DataError) and isinstance(record.get("id"), str | int):
        entry["id"] = record["id"]
    if not isinstance(answer, DataError):
        return {**entry, **(answer if isinstance(answer, dict) else {"prediction": answer})}, True
    for name in ("what", "expected", "got", "fix"):
        if value := getattr(answer, name):
            entry[name] = _short(str(value))
    if isinstance(record, DataError):
        entry["where"] = str(record.where)
    else:
        own = own_fields(record)
        own |= {name: _short(v) for name in files if isinstance(v := own.get(name), str)}
        entry["record"] = json.loads(json.dumps(own, default=_told), parse_constant=str)
    return entry, False


def _told(value: Any) -> str:
    """Return what is told of a value that JSON cannot hold: never the bytes of a file."""
    if isinstance(value, bytes):
        return f"({len(value):,} bytes)"
    if isinstance(value, np.ndarray):
        return f"({value.dtype} {value.shape})"
    return str(value)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"


def _cell(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Let a full or forbidden disk be the user's error."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error
