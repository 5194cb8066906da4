"""Rows to predict: JSON Lines, CSV, Parquet or text, or files of images or sound, one at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from luban.core.contracts import Record, Source
from luban.core.errors import DataError, RecipeError
from luban.data.files import bare_suffix, missing, open_bytes, open_text
from luban.data.media import Media
from luban.data.members import IMAGES, SOUNDS, Member, field_of, is_archive, members
from luban.data.sources._rows import RowSource
from luban.data.sources.text import Text
from luban.inference.predictor import file_fields
from luban.recipe import override

FORMATS = ("auto", "jsonl", "csv", "parquet", "text", "files")
STANDARD_INPUT = Path("/dev/stdin")
#: Formats by suffix, ``.gz`` taken off.
_SUFFIXES = {
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet", ".pq"),
    "text": (".txt", ".text", ".md"),
}


class Input:
    """A file of rows, or standard input.

    Args:
        path: The file; ``-`` is standard input.
        format: One of ``FORMATS``; ``auto`` goes by the suffix, and standard input is JSON Lines.
        options: ``key=value`` fields of the source that reads it.

    Raises:
        DataError: if the file is not there or its suffix says nothing.
        RecipeError: if an option does not exist.
    """

    def __init__(self, path: str, format: str, options: Sequence[str]) -> None:
        self.standard = path == "-"
        self.path = STANDARD_INPUT if self.standard else Path(path).expanduser()
        if not (self.standard or self.path.is_file()):
            raise missing(self.path)
        self.format = format if format != "auto" else self._format()
        fields: dict[str, Any] = {}
        for option in options:
            override(fields, option)
        if self.format == "csv" and self.standard:
            fields = {"delimiter": ",", **fields}  # nothing can be read twice to find it out
        if self.format == "text":
            fields = {"document": "line", **fields}
        given = {"name": self.format, "path": str(self.path), **fields}
        self.source = Source.from_dict(given, "--input")

    @property
    def reader(self) -> dict[str, Any]:
        """How rows are read, wherever they are."""
        return {**self.source.to_dict(), "path": ""}

    def rows(self, field: str) -> Iterator[tuple[int, Record | DataError]]:
        """Yield (row or line number, record), and errors in place of bad rows.

        Args:
            field: What a line of text is in a record.

        Raises:
            DataError: for a file that cannot be read.
        """
        if isinstance(self.source, RowSource):
            yield from self.source.each(self.path)
        elif isinstance(self.source, Text):
            with open_text(self.path, self.source.encoding) as file:
                for number, line in enumerate(file, 1):
                    where = f"{self.path}:{number}"
                    yield number, {field: line.removesuffix("\n"), "_where": where}

    def look(self, field: str) -> tuple[str, int]:
        """Return a digest of the content, and how many lines it has."""
        digest, lines, last = hashlib.sha256(), 0, b"\n"
        with open_bytes(self.path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
                lines += block.count(b"\n")
                last = block[-1:]
        return digest.hexdigest()[:16], lines + (last != b"\n")

    def _format(self) -> str:
        if self.standard:
            return "jsonl"
        suffix = bare_suffix(self.path)
        for name, suffixes in _SUFFIXES.items():
            if suffix in suffixes:
                return name
        raise DataError(
            "the name of this file does not tell its format.",
            where=self.path,
            expected=", ".join(s for suffixes in _SUFFIXES.values() for s in suffixes),
            fix=f"--format {', '.join(FORMATS[1:])}.",
        )


class Files:
    """Files that are a record each: those of a folder or an archive, or one.

    A record has the file, and its name as ``id``.

    Args:
        path: The folder, the archive or the file.

    Raises:
        DataError: if there is no such file.
    """

    standard, format = False, "files"

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser()
        if not self.path.exists():
            raise missing(self.path)

    @property
    def reader(self) -> dict[str, Any]:
        """How rows are read, wherever they are."""
        return {"name": "files", "path": ""}

    def rows(self, field: str) -> Iterator[tuple[int, Record | DataError]]:
        """Yield (number, record) of every file that can be such a field by its name, in order.

        Args:
            field: What a file is in a record: ``image``, ``audio``.

        Raises:
            DataError: if there is none, or for an archive that cannot be read.
        """
        number = 0
        for number, member in enumerate(self._members(field), 1):
            try:
                media = member.media()
            except DataError as error:
                yield number, error
                continue
            yield number, {"id": member.name, field: media, "_where": member.where}
        if not number:
            raise DataError(
                f"there is no {field} here.",
                where=self.path,
                expected=f"names that end in {', '.join(SOUNDS if field == 'audio' else IMAGES)}",
                fix="check the path.",
            )

    def look(self, field: str) -> tuple[str, int]:
        """Return a digest of names, sizes and dates, and how many files there are (0: unknown)."""
        if self.path.is_file():
            paths, count = [self.path], 0 if is_archive(self.path) else 1
        else:
            paths = [self.path / member.name for member in self._members(field)]
            count = len(paths)
        digest = hashlib.sha256()
        for path in paths:
            facts = path.stat()
            name = path.relative_to(self.path)
            digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16], count

    def _members(self, field: str) -> Iterator[Member]:
        if self.path.is_dir() or is_archive(self.path):
            yield from (m for m in members(self.path) if field_of(m.name) == field)
        else:
            where = str(self.path)
            yield Member(self.path.name, where, partial(Media, where, self.path))


def open_input(
    path: str, format: str, options: Sequence[str], schema: Mapping[str, Any]
) -> Input | Files:
    """Return what ``--input`` names.

    Args:
        path: As given.
        format: One of ``FORMATS``.
        options: ``key=value`` fields of a source of rows.
        schema: Of a record; a task whose records hold no files cannot read folders.

    Raises:
        DataError: if the file is not there or its suffix says nothing.
        RecipeError: if an option does not exist.
    """
    place = Path(path).expanduser()
    known = bare_suffix(place) in chain(*_SUFFIXES.values())
    files = bool(file_fields(schema)) and (place.is_dir() or not known) and path != "-"
    if format == "files" or (format == "auto" and files):
        if options:
            raise RecipeError("files have no options.", where="--input", got=" ".join(options))
        return Files(path)
    return Input(path, format, options)


def fields_of(options: Sequence[str], files: Sequence[str] = ()) -> dict[str, Any]:
    """Return the record that ``field=value`` arguments describe: texts, or lists as JSON.

    Args:
        options: The arguments.
        files: Fields that hold files: ``FIELD=@PATH`` reads one; anything else is base64.

    Raises:
        RecipeError: if an argument is not of that form.
        DataError: if there is no such file.
    """
    record: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not (name and equals):
            raise RecipeError("a field is given as NAME=VALUE.", got=option)
        if name in files:
            record[name] = _file(name, value)
            continue
        try:
            record[name] = json.loads(value) if value.startswith(("[", "{")) else value
        except ValueError:
            record[name] = value
    return record


def file_at(path: str) -> Media:
    """Return a file.

    Raises:
        DataError: if there is none.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        raise missing(place)
    return Media(path, place)


def _file(name: str, value: str) -> Any:
    if value.startswith("@"):
        return file_at(value[1:])
    if len(value) < 1000 and Path(value).expanduser().is_file():
        raise RecipeError("text names no file.", where=name, got=value, fix=f"{name}=@{value}")
    return value
