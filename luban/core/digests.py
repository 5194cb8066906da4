"""Digests of every file of a run, kept as the stages write them: what ``luban verify`` compares.

``digests.json`` holds, for each file below the run's folder, its SHA-256, its size and the stage
that wrote it. A folder that keeps a ``digests.json`` of its own (a checkpoint) stands by that one
file. ``log.txt`` only ever grows: the digest covers what it held when a command ended.

A file that someone edits by hand keeps its old digest here, also when stages run afterwards:
a stage records only what it wrote itself.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TypeAlias

from luban.core.component import digest_of
from luban.core.errors import RunError
from luban.core.files import sha256_of, write_json
from luban.core.yaml_json import json_of

NAME = "digests.json"
#: Grows with every command, so that only its beginning can be compared.
LOG = "log.txt"
_LOCK = ".lock"
_FORMAT = 1
_NOBODY = ""

#: What tells that a file was written again: inode, size, times of its content and of its inode.
Signature: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of one file.

    Attributes:
        sha256: Digest of its first ``size`` bytes, in hexadecimal.
        size: Bytes.
        stage: The stage that wrote it; empty for what belongs to no stage.
    """

    sha256: str
    size: int
    stage: str = _NOBODY


@dataclass(slots=True)
class Digests:
    """The digests of the files of one run.

    Attributes:
        folder: The run.
        files: Relative path with ``/`` to what is known of the file.
        unfinished: Stages that began and have not ended, and when (seconds since 1970).
    """

    folder: Path
    files: dict[str, Recorded] = field(default_factory=dict)
    unfinished: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the digests of a run; None where none were kept.

        Raises:
            RunError: if the file is damaged.
        """
        path = folder / NAME
        try:
            data = json_of(path.read_text(encoding="utf-8"))
            files = {name: Recorded(**entry) for name, entry in data["files"].items()}
            unfinished = {str(k): float(v) for k, v in data["unfinished"].items()}
            if data["format"] != _FORMAT:
                raise ValueError(f"format {data['format']}")
            if data["self"] != _digest_of_itself(data):
                raise ValueError("not as luban wrote it")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RunError(
                "the digests of this run's files cannot be read.",
                where=path,
                got=f"{type(error).__name__}: {error}",
                fix="bring the file back from a copy of the run; nothing else vouches for it.",
            ) from None
        return cls(folder, files, unfinished)

    def write(self) -> None:
        """Write ``digests.json``, atomically."""
        files = {name: asdict(self.files[name]) for name in sorted(self.files)}
        data = {"format": _FORMAT, "files": files, "unfinished": self.unfinished}
        write_json(self.folder / NAME, {**data, "self": _digest_of_itself(data)})

    def begin(self, stage: str) -> Mapping[str, Signature]:
        """Note that a stage begins; return what ``end`` needs to see what it wrote.

        Files that a killed command of the same stage left behind count as written by this one.
        """
        before = dict(signatures(self.folder))
        if stage in self.unfinished:
            since = self.unfinished[stage]
            for name in list(before):
                touched = (self.folder / name).stat().st_mtime >= since - 1
                if touched and not self._holds(name):
                    del before[name]
        self.unfinished.setdefault(stage, time.time())
        self.write()
        return before

    def end(self, stage: str, before: Mapping[str, Signature]) -> None:
        """Record every file that was written since ``begin``, and forget those removed since."""
        now = dict(signatures(self.folder))
        for name in before.keys() - now.keys():
            self.files.pop(name, None)
        for name, signature in now.items():
            if name == LOG:
                self.record_log()
            elif before.get(name) != signature:
                self.record(name, stage)
        self.unfinished.pop(stage, None)
        self.write()

    def record(self, name: str, stage: str = _NOBODY) -> None:
        """Record what a file holds now."""
        path = self.folder / name
        self.files[name] = Recorded(sha256_of(path), path.stat().st_size, stage)

    def record_log(self) -> None:
        """Record ``log.txt`` as it is, unless what was recorded of it no longer holds."""
        path = self.folder / LOG
        if path.is_file() and (LOG not in self.files or self._holds(LOG)):
            self.record(LOG)

    def of(self, stage: str) -> list[str]:
        """Return the files that a stage wrote, checkpoints left out: they may be deleted."""
        return [n for n, e in self.files.items() if e.stage == stage and not _is_sealed(n)]

    def lost(self, stage: str) -> list[str]:
        """Return the files of a stage that are no longer as it wrote them."""
        return [name for name in self.of(stage) if not self._holds(name)]

    def differences(self, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Return one line for each file that differs from its digest, is missing, or is extra.

        Args:
            progress: Told how many bytes were compared, and how many there are.
        """
        present = dict(signatures(self.folder))
        total = sum(entry.size for entry in self.files.values())
        lines, done = [], 0
        for name, entry in sorted(self.files.items()):
            if name not in present:
                lines.append(f"{name}: missing")
            elif not self._holds(name):
                lines.append(f"{name}: not as {entry.stage or 'luban'} wrote it")
            elif _is_sealed(name):
                lines += _sealed_differences(self.folder, name)
            done += entry.size
            if progress is not None:
                progress(done, total)
        extra = sorted(present.keys() - self.files.keys())
        return lines + [f"{name}: not written by any stage" for name in extra]

    def _holds(self, name: str) -> bool:
        entry, path = self.files.get(name), self.folder / name
        if entry is None:
            return False
        try:
            size = path.stat().st_size
            if name == LOG and size >= entry.size:
                return sha256_of_start(path, entry.size) == entry.sha256
            return size == entry.size and sha256_of(path) == entry.sha256
        except OSError:
            return False


def signatures(folder: Path) -> Iterator[tuple[str, Signature]]:
    """Yield the relative path and signature of every file below a run, links included.

    Of a folder with digests of its own only these are given. What another process removes
    meanwhile, such as a checkpoint that is no longer needed, is not there.
    """
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders.sort()
        if here != folder and NAME in files:
            folders.clear()
            files = [NAME]
        for name in [*files, *(f for f in folders if (here / f).is_symlink())]:
            path = here / name
            relative = path.relative_to(folder).as_posix()
            if relative in (NAME, _LOCK):
                continue
            try:
                stat = path.lstat()
            except FileNotFoundError:
                continue
            yield relative, (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def refuse_links(folder: Path) -> None:
    """Refuse to write into a run whose links lead out of it: a stranger may have set them.

    Raises:
        RunError: naming the first link.
    """
    for name in (_LOCK, *(name for name, _ in signatures(folder))):
        link = folder / name
        if link.is_symlink() and not link.resolve().is_relative_to(folder.resolve()):
            raise RunError(
                "a link in this run leads out of it, so nothing is written here.",
                where=link,
                got=link.readlink(),
                fix="remove the link, or put what it leads to in its place.",
            )


def sha256_of_start(path: Path, size: int) -> str:
    """Return the SHA-256 of the first bytes of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(size, 1 << 20))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()


def sealed_damage(folder: Path) -> dict[str, str]:
    """Return what is wrong with a folder that keeps digests of its own, by file; empty: nothing."""
    try:
        digests: Any = json_of((folder / NAME).read_text(encoding="utf-8"))
        wanted = {str(name): str(digest) for name, digest in digests.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        return {NAME: f"{type(error).__name__}: {error}"}
    found = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not path.is_dir() or path.is_symlink()
    } - {NAME}
    damage = {name: "not written by luban" for name in sorted(found - wanted.keys())}
    for name, digest in wanted.items():
        if name not in found:
            damage[name] = "missing"
        elif sha256_of(folder / name) != digest:
            damage[name] = "does not match its digest"
    return damage


def _digest_of_itself(data: Mapping[str, Any]) -> str:
    return digest_of({key: value for key, value in data.items() if key != "self"})


def _is_sealed(name: str) -> bool:
    return name.endswith(f"/{NAME}")


def _sealed_differences(folder: Path, name: str) -> list[str]:
    inner = (folder / name).parent
    place = inner.relative_to(folder).as_posix()
    return [f"{place}/{file}: {what}" for file, what in sealed_damage(inner).items()]
