"""Folders and archives of images and recordings, looked through once: what tells of what."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from luban.core.contracts import SetApart
from luban.core.errors import DataError
from luban.core.yaml_json import parse_json
from luban.data.files.archives import Member, field_of, is_archive, members, refuse_twice
from luban.data.files.reading import expand, is_about
from luban.data.files.split_names import SPLIT_NAMES
from luban.data.media.media_files import Media
from luban.data.sources import _boxes
from luban.data.sources._metadata import table_rows
from luban.data.sources._transcripts import Told, listed_splits, stem, transcripts

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
        rows: What metadata tell, by name, and where: several rows mean parts of a recording.
        beside: What a ``.cls`` or ``.json`` of the same name tells, by name.
        wrong: What is wrong with a file, or with what tells of it, by name.
        lost: Entries of files that tell of others, of which there is no file, by split.
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
    rows: dict[str, list[tuple[str, dict[str, Any]]]] = field(default_factory=dict)
    beside: dict[str, dict[str, Any]] = field(default_factory=dict)
    wrong: dict[str, DataError] = field(default_factory=dict)
    lost: dict[str, list[SetApart]] = field(default_factory=lambda: defaultdict(list))
    skipped: Counter[str] = field(default_factory=Counter)
    first: str = ""
    depth: int = 0
    splits: frozenset[str] = frozenset({"train"})
    labelled: bool = False
    _tables: bool = False
    _alone: list[tuple[str, SetApart]] = field(default_factory=list)

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
        folder = PurePosixPath(name).parts[:-1][self.depth - 1 : self.depth]
        return SPLIT_NAMES.get(folder[0].lower(), "train") if folder else "train"

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
        refuse_twice(self.names, self.path)
        told = self._tell(texts)
        self._lay_out()
        labels = self._take(beside)
        self._describe(tables)
        self._miss()
        for place, entry in self._alone:
            self.lost[self.split_of(place)].append(entry)
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

    def _lose(self, name: str, what: str, where: str = "") -> None:
        """Set apart what tells of a file that is not there.

        Args:
            name: What lies where the file would, to tell the split by.
            what: What is wrong.
            where: Where it is told; empty: there.
        """
        place = f"{self.path}/{where or name}"
        self._alone.append((name, SetApart(DataError(what), place)))

    def _tell(self, texts: dict[str, bytes]) -> list[str]:
        """Take splits and transcripts from text files; return the names of those that tell any.

        A recording of which two different transcripts are told is set apart.

        Raises:
            DataError: if a file is listed in two splits.
        """
        lists = listed_splits(texts, self.names)
        told = transcripts(texts, self.names, self.path)
        seen, known = dict[Any, str](), set(self.names)
        for entry in chain.from_iterable(lists.values()):
            if self.lists.get(entry.name) != entry.value:
                what = f"the split of {entry.name}"
                _boxes.refuse_twice(seen, entry.name, what, entry.where, self.path)
            self.lists[entry.name] = entry.value
            if entry.name not in known:
                error = DataError("this entry names no file that is there.", got=entry.name)
                self.lost[entry.value].append(SetApart(error, f"{self.path}/{entry.where}"))
        self._say(told)
        folders = {PurePosixPath(name).parent for name in told if stem(name) in self.texts}
        for name in texts:
            place = PurePosixPath(name)
            if name not in lists and name not in told:
                if place.parent in folders and not is_about(place.name):
                    self._lose(name, "there is no recording for this transcript.")
                else:
                    self._skip(".txt", f"{self.path}/{name}")
        return [*lists, *told]

    def _say(self, told: Mapping[str, Sequence[Told]]) -> None:
        """Take transcripts."""
        places: dict[str, Told] = {}
        twice: dict[str, DataError] = {}
        for file, lines in told.items():
            for line in lines:
                first = places.setdefault(line.name, line)
                if not line.name:
                    what = "there is no recording for this line of transcripts."
                    self._lose(file, what, line.where)
                elif first.value != line.value:
                    twice[line.name] = DataError(
                        "two transcripts are told of this recording.",
                        expected="one",
                        got=f"{first.where} and {line.where}",
                        fix="remove one of them.",
                    )
        self.texts = {name: line.value for name, line in places.items() if name}
        self.wrong |= {name: twice[stem(name)] for name in self.names if stem(name) in twice}

    def _take(self, beside: dict[str, bytes]) -> list[str]:
        """Take what lies beside a file: its label (``.cls``) or fields; return what was taken."""
        files, used = defaultdict[str, list[str]](list), list[str]()
        for name in self.names:
            files[stem(name)].append(name)
        alone = []
        for name, data in sorted(beside.items()):  # .cls before .json, which has names for labels
            owners, where = files.get(stem(name), []), f"{self.path}/{name}"
            if not owners:
                alone.append(name)
                continue
            used.append(name)
            for file in owners:
                try:
                    fields = _fields(name, data, where)
                    if len(owners) > 1:
                        same = " and ".join(owners)
                        raise DataError("this tells of several files.", where=where, got=same)
                    own = field_of(file)  # a name of the file is not the file
                    told = {name: value for name, value in fields.items() if name != own}
                    self.beside.setdefault(file, {}).update(told)
                except DataError as error:
                    self.wrong[file] = error
        kinds = {(PurePosixPath(name).parent, PurePosixPath(name).suffix) for name in used}
        for name in alone:
            place, where = PurePosixPath(name), f"{self.path}/{name}"
            if (place.parent, place.suffix) in kinds:
                self._lose(name, "there is no image and no recording of this name.")
            else:
                self._skip(place.suffix, where)
        return used

    def _miss(self) -> None:
        """Set apart the few files of which nothing tells what is told of all others."""
        sounds = [name for name in self.names if field_of(name) == "audio"]
        if not self.rows and 2 * len(self.texts) >= len(sounds):
            for name in sounds:
                if self.texts and stem(name) not in self.texts and not self.beside.get(name):
                    self.wrong.setdefault(name, DataError("nothing tells what is said in it."))
        if self.beside and not self.rows and 2 * len(self.beside) >= len(self.names):
            for name in self.names:
                if name not in self.beside and not self.texts:
                    what = "nothing tells of this file, as .cls or .json does of others."
                    self.wrong.setdefault(name, DataError(what))

    def _describe(self, tables: dict[str, str]) -> None:
        known = set(self.names)
        for name, text in tables.items():
            folder, where = PurePosixPath(name).parent, f"{self.path}/{name}"
            for number, row in table_rows(text, where):
                place = f"{where}:{number}"
                if isinstance(row, DataError):
                    self.lost[self.split_of(name)].append(SetApart(row, place))
                    continue
                file = str(folder / str(row.pop("file_name")))
                if file not in known:
                    error = DataError(
                        "this row names a file that is not there, or no image or recording.",
                        expected="a name that ends as those of images or recordings do",
                        got=file,
                    )
                    self.lost[self.split_of(file)].append(SetApart(error, place))
                    continue
                self.rows.setdefault(file, []).append((place, row))
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


def _fields(name: str, data: bytes, where: str) -> dict[str, Any]:
    """Return the fields that a file beside another tells.

    Raises:
        DataError: if it is damaged, or no table of them.
    """
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"this file is damaged ({error}).", where=where) from None
    fields = parse_json(text, where) if name.endswith(".json") else {"label": text}
    if not isinstance(fields, dict):
        raise DataError("this file is no table of fields.", where=where, got=fields)
    return fields
