"""Folders and archives of images and recordings, looked through once: what tells of what."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from luban.core.errors import DataError
from luban.data.files import expand
from luban.data.media import Media
from luban.data.members import Member, field_of, is_archive, members
from luban.data.sources._files import SPLIT_NAMES
from luban.data.sources._transcripts import listed_splits, stem, transcripts

_METADATA = ("metadata.csv", "metadata.jsonl")
_BESIDE = (".cls", ".json")  #: what tells of the file of that name, in WebDataset's way
_TEXT = 1 << 16  #: bytes of the longest file that lies beside another
_TEXTS = 1 << 26  #: bytes of the longest file of transcripts: that of AISHELL has nine million
_NOISE = "_background_noise_"  #: in Speech Commands no class: long recordings to be mixed in


@dataclass(slots=True)
class Root:
    """A folder, an archive, or the files of a glob.

    Attributes:
        path: The folder or archive; of a glob, the part without wildcards.
        loose: The files of a glob.
        names: Its images and recordings, by their path below it.
        files: The files on disk that they lie in, and those that tell of them.
        texts: Transcripts by name without suffix.
        lists: Splits by name, if files list them.
        rows: What metadata tell, by name.
        beside: What a ``.cls`` or ``.json`` of the same name tells, by name.
        skipped: How many files of which kind were left out.
        first: The first of these.
        depth: The place of the label in a name's parts: what all share, and splits, come before.
        splits: What the folders before the labels are called, if they are splits.
        labelled: Whether every file lies in a folder that can be a label.
    """

    path: Path
    loose: list[Path] | None = None
    names: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    lists: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    beside: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    first: str = ""
    depth: int = 0
    splits: frozenset[str] = frozenset({"train"})
    labelled: bool = False
    _tables: bool = False

    def media(self) -> Iterator[Member]:
        """Yield the images and recordings."""
        for member in self._members():
            if _is_media(member.name) and (not self._tables or member.name in self.rows):
                yield member

    def split_of(self, name: str) -> str:
        """Return the split that a list or a file's folder tells; all is ``train`` if none does."""
        if self.lists:
            return self.lists.get(name, "train")
        if self.splits == {"train"}:
            return "train"
        return SPLIT_NAMES[PurePosixPath(name).parts[self.depth - 1].lower()]

    def look(self) -> Root:
        """Go through all names once, and read what tells of other files."""
        texts, tables, beside = dict[str, bytes](), dict[str, str](), dict[str, bytes]()
        for member in self._members():
            name = PurePosixPath(member.name)
            if _is_media(member.name):
                self.names.append(member.name)
            elif field_of(member.name):
                self._skip(_NOISE, member.where)
            elif name.name.lower() in _METADATA:
                tables[member.name] = member.text()
            elif name.suffix.lower() == ".txt" and (media := member.media()).size <= _TEXTS:
                texts[member.name] = media.read()
            elif name.suffix in _BESIDE and (media := member.media()).size <= _TEXT:
                beside[member.name] = media.read()
            elif not (self.path.is_dir() and is_archive(Path(name.name))):
                self._skip(name.suffix.lower() or "without suffix", member.where)
        told = self._tell(texts)
        self._lay_out()
        labels = self._take(beside)
        self._describe(tables)
        used = [*self.names, *tables, *told, *labels]
        self.files = [self.path / name for name in used] if self.path.is_dir() else [self.path]
        return self

    def _members(self) -> Iterator[Member]:
        if self.loose is None:
            return members(self.path)
        return (
            Member(p.relative_to(self.path).as_posix(), str(p), partial(Media, str(p), p))
            for p in self.loose
        )

    def _skip(self, kind: str, where: str, times: int = 1) -> None:
        self.skipped[kind] += times
        self.first = self.first or where

    def _tell(self, texts: dict[str, bytes]) -> list[str]:
        """Take splits and transcripts from text files; return the names of those that tell any."""
        lists = listed_splits(texts, self.names)
        told = transcripts(texts, self.names, self.path)
        for parts, whole in ((lists, self.lists), (told, self.texts)):
            for part in parts.values():
                whole |= part
        for name in texts:
            if name not in lists and name not in told:
                self._skip(".txt", f"{self.path}/{name}")
        return [*lists, *told]

    def _take(self, beside: dict[str, bytes]) -> list[str]:
        """Take what lies beside a file: its label (``.cls``) or fields; return what was taken."""
        files, used = {stem(name): name for name in self.names}, []
        for name, data in sorted(beside.items()):  # .cls before .json, which has names for labels
            where = f"{self.path}/{name}"
            file = files.get(stem(name))
            fields = _fields(name, data, where) if file else None
            if file is None or fields is None:
                self._skip(PurePosixPath(name).suffix, where)
                continue
            own = field_of(file)  # a name of the file is not the file
            told = {name: value for name, value in fields.items() if name != own}
            self.beside.setdefault(file, {}).update(told)
            used.append(name)
        return used

    def _describe(self, tables: dict[str, str]) -> None:
        known = set(self.names)
        for name, text in tables.items():
            folder, where = PurePosixPath(name).parent, f"{self.path}/{name}"
            for number, row in _table(text, where):
                file = str(folder / str(row.pop("file_name")))
                if file not in known:
                    raise DataError(
                        "this row names a file that is not there, or no image or recording.",
                        where=f"{where}:{number}",
                        expected="a name that ends as those of images or recordings do",
                        got=file,
                    )
                self.rows[file] = row
        if left := [name for name in self.names if tables and name not in self.rows]:
            self._skip("not in the metadata", f"{self.path}/{left[0]}", len(left))
        if tables:
            self._tables, self.names = True, list(self.rows)

    def _lay_out(self) -> None:
        """Find out what the folders mean."""
        if self.lists:
            self.splits = frozenset({"train", *self.lists.values()})
        folders = [PurePosixPath(name).parts[:-1] for name in self.names]
        if not folders:
            return
        first, last = min(folders), max(folders)
        for one, other in zip(first, last, strict=False):
            if one != other or one.lower() in SPLIT_NAMES:
                break
            self.depth += 1
        tops = {parts[self.depth].lower() for parts in folders if len(parts) > self.depth}
        below = min(map(len, folders)) > self.depth
        if tops and tops <= SPLIT_NAMES.keys() and below and not self.lists:
            self.splits = frozenset(SPLIT_NAMES[top] for top in tops)
            self.depth += 1
        inside = {parts[self.depth] for parts in folders if len(parts) > self.depth}
        self.labelled = min(map(len, folders)) > self.depth and len(inside) > 1


def roots_of(pattern: str) -> list[Root]:
    """Return what a path or a glob leads to: a folder's archives are looked into too.

    Raises:
        DataError: if that is nothing.
    """
    path = Path(pattern).expanduser()
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.is_file() and is_archive(p))
        return [root for root in map(Root, (path, *inside)) if root.look().names or not inside]
    found = expand(pattern, ())
    loose = [file for file in found if not is_archive(file)]
    roots = [Root(file).look() for file in found if is_archive(file)]
    if loose:
        signs = [bool(set(part) & set("*?[")) for part in path.parts]
        fixed = signs.index(True) if True in signs else len(path.parts) - 1
        roots.append(Root(Path(*path.parts[:fixed]), loose).look())
    return roots


def _is_media(name: str) -> bool:
    return bool(field_of(name)) and _NOISE not in PurePosixPath(name).parts


def _fields(name: str, data: bytes, where: str) -> dict[str, Any] | None:
    """Return the fields that a file beside another tells; None if it is no table of them.

    Raises:
        DataError: if it is damaged.
    """
    try:
        text = data.decode("utf-8-sig").strip()
        fields = json.loads(text) if name.endswith(".json") else {"label": text}
    except ValueError as error:
        raise DataError(f"this file is damaged ({error}).", where=where) from None
    return fields if isinstance(fields, dict) else None


def _table(text: str, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    rows: Iterator[tuple[int, Any]] = enumerate(csv.DictReader(io.StringIO(text, newline="")), 2)
    if where.lower().endswith(".jsonl"):
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        rows = ((number, _json(line, f"{where}:{number}")) for number, line in lines)
    for number, row in rows:
        if not isinstance(row, dict) or not row.get("file_name"):
            raise DataError(
                "this row names no file.",
                where=f"{where}:{number}",
                expected="a field file_name",
                got=row,
            )
        yield number, row


def _json(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise DataError(f"this line is not JSON ({error}).", where=where, got=line) from None
