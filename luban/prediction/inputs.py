"""Records to predict: in any form that training reads, or files of images or sound."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from glob import escape
from itertools import chain
from pathlib import Path
from typing import Any

from luban.core import registry
from luban.core.contracts import Record, SetApart, Source
from luban.core.errors import DataError, RecipeError
from luban.core.yaml_json import json_of
from luban.data.files.archives import IMAGES, SOUNDS, Member, field_of, is_archive, members
from luban.data.files.formats import encoding_of, form_of
from luban.data.files.reading import bare_suffix, missing, open_bytes, open_text, text_lines
from luban.data.files.table_format import arguments_of
from luban.data.media.media_files import Media
from luban.data.sources._rows import Asked, RowSource
from luban.data.sources.text import Text
from luban.inference.predictor import file_fields
from luban.recipe import override

FORMATS = (
    *("auto", "jsonl", "json", "csv", "parquet", "text", "lines", "conll", "squad", "parallel"),
    *("folders", "coco", "voc", "yolo", "idx", "arrays", "files"),
)
STANDARD_INPUT = Path("/dev/stdin")
#: Formats by suffix, ``.gz`` taken off.
_SUFFIXES = {
    "jsonl": (".jsonl", ".ndjson"),
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet", ".pq"),
    "text": (".txt", ".text", ".md"),
}
#: Sources whose records are texts: a file of plain text is of their form.
_OF_TEXT = ("text", "parallel", "folders")
#: Fields of a source that say what its records mean, whatever the form of a file.
_MEANING = ("fields", "template", "join", "values", "media", "others")


class Input:
    """A file of records, or standard input, read as the run's own source reads its data.

    What the recipe says of the source (its fields, columns, encoding) holds for a file of the
    same form; what it says of the records' meaning, for other forms of rows too. Answers need not
    be there.

    Args:
        path: The file, or a folder; ``-`` is standard input.
        format: One of ``FORMATS``; ``auto`` goes by the run's source, by suffix and by content;
            standard input is JSON Lines.
        options: ``key=value`` fields of the source that reads it.
        schema: Of a record.
        own: The source of the run, as in its recipe.

    Raises:
        DataError: if the file is not there or its form cannot be told.
        RecipeError: if an option does not exist.
    """

    def __init__(
        self,
        path: str,
        format: str,
        options: Sequence[str],
        schema: Mapping[str, Any],
        own: Mapping[str, Any],
    ) -> None:
        self.standard = path == "-"
        self.path = STANDARD_INPUT if self.standard else Path(path).expanduser()
        if not (self.standard or self.path.exists()):
            raise missing(self.path)
        required = frozenset(schema.get("required", ()))
        self._asked = Asked(frozenset(schema.get("properties", ())), required)
        self.format = format if format != "auto" else self._format(own)
        fields: dict[str, Any] = {}
        for option in options:
            override(fields, option)
        if self.format == "csv" and self.standard:
            fields = {"delimiter": ",", **fields}  # nothing can be read twice to find it out
        given = {"name": self.format, "path": self._path(own), **self._settings(own), **fields}
        if "fields" in fields and isinstance(own.get("fields"), dict):
            given["fields"] = {**own["fields"], **fields["fields"]}
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
        if isinstance(self.source, RowSource) and (self.standard or self.path.is_file()):
            yield from self.source.each(self.path, self._asked)
        elif isinstance(self.source, Text) and (self.standard or self.path.is_file()):
            with open_text(self.path, self.source.encoding, newline="\n") as file:
                for number, line in enumerate(text_lines(file), 1):
                    yield number, {field: line, "_where": f"{self.path}:{number}"}
        else:
            records = (self.source.read(split) for split in self.source.splits())
            for number, record in enumerate(chain.from_iterable(records), 1):
                yield number, record.error if isinstance(record, SetApart) else record

    def look(self, field: str) -> tuple[str, int]:
        """Return a digest of the content, and how many lines it has (0: unknown)."""
        digest, lines, last = hashlib.sha256(), 0, b"\n"
        for path in self.source.files() if self.path.is_dir() else (self.path,):
            with open_bytes(path) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
                    lines += block.count(b"\n")
                    last = block[-1:]
        rows = self.format in ("jsonl", "csv", "text", "lines", "parallel")
        return digest.hexdigest()[:16], (lines + (last != b"\n")) if rows else 0

    def _format(self, own: Mapping[str, Any]) -> str:
        if self.standard:
            return "jsonl"
        name = str(own.get("name", ""))
        if name in FORMATS and (self.path.is_dir() or self._is_own(own)):
            return name
        suffix = bare_suffix(self.path)
        for form, suffixes in _SUFFIXES.items():
            if suffix in suffixes and suffix not in (".txt", ".text"):
                return form
        try:
            form = form_of(self.path)
        except DataError as error:
            error.fix = f"--format {', '.join(FORMATS[1:])}."
            raise
        if form == "text" and suffix not in _SUFFIXES["text"] and name not in _OF_TEXT:
            raise DataError(
                "neither name nor content of this file tells its format.",
                where=self.path,
                fix=f"--format {', '.join(FORMATS[1:])}.",
            )
        if suffix in _SUFFIXES["text"] and form not in ("json", "jsonl", "squad", name):
            return "text"
        # Several columns, a side of parallel text: what the run reads so is meant so.
        return "parallel" if form == "text" and name == "parallel" else form

    def _is_own(self, own: Mapping[str, Any]) -> bool:
        """Return whether a file has the form of the run's data: by its suffix and content."""
        name, suffix = str(own["name"]), bare_suffix(self.path)
        if suffix in _SUFFIXES.get(name, ()) and suffix not in (".txt", ".text"):
            return True
        if name in ("parallel", "idx", "arrays"):
            plain = name == "parallel" and form_of(self.path) == "text"
            return plain or name == "idx" or suffix in (".npy", ".npz")
        if name == "coco":
            return suffix == ".json"
        try:
            return form_of(self.path) == name
        except DataError:
            return False

    def _settings(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the recipe says that holds for this file too."""
        same = own.get("name") == self.format
        kind = registry.load("sources", self.format, Source)  # type: ignore[type-abstract]
        kept = {k: v for k, v in own.items() if same or (k in _MEANING and k in kind.model_fields)}
        kept = {k: v for k, v in kept.items() if k not in ("name", "path")}
        if self.format == "text":
            return {"document": "line", **kept, "pattern": ""}
        if self.format == "conll":
            return {**kept, "tags": None}
        if isinstance(kept.get("images"), dict):  # by split: those of this file, else the first
            paths = own["path"] if isinstance(own["path"], dict) else {}
            named = ((s, path) for s, path in paths.items() if isinstance(path, str))
            split = next((s for s, path in named if Path(path) == self.path), "")
            kept["images"] = kept["images"].get(split) or next(iter(kept["images"].values()))
        if same or self.standard or self.path.is_dir():
            return kept
        encoding = "utf-8" if self.format == "parquet" else encoding_of(self.path)
        try:
            found = arguments_of(self.format, self.path, encoding)
        except DataError:  # nothing tells whether there is a header: there is one
            found = {}
        return {**found, **kept, **({"encoding": encoding} if encoding != "utf-8" else {})}

    def _path(self, own: Mapping[str, Any]) -> Any:
        """Return the path as the source wants it: a table from field to file for some."""
        if self.format in ("parallel", "idx"):
            sides = own.get("path")
            first = next(iter(sides.values()), None) if isinstance(sides, dict) else None
            named = first if isinstance(first, dict) else sides
            wanted = [k for k in named or () if k in (self._asked.required or self._asked.fields)]
            return {name: str(self.path) for name in wanted[:1] or ["source"]}
        inside = sorted(self.path.iterdir()) if self.path.is_dir() else ()
        if self.format == "folders" and any(file.is_file() for file in inside):
            return f"{escape(str(self.path))}/*"  # no folder tells a label
        return str(self.path)


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
    path: str, format: str, options: Sequence[str], schema: Mapping[str, Any], own: Source
) -> Input | Files:
    """Return what ``--input`` names.

    Args:
        path: As given.
        format: One of ``FORMATS``.
        options: ``key=value`` fields of a source of rows.
        schema: Of a record; a task whose records hold no files cannot read folders of them.
        own: The source of the run.

    Raises:
        DataError: if the file is not there or its suffix says nothing.
        RecipeError: if an option does not exist.
    """
    place = Path(path).expanduser()
    settings = own.settings()
    rows = bare_suffix(place) in chain(*_SUFFIXES.values(), (".json",))
    arrays = settings.get("name") in ("idx", "arrays") and place.is_file()
    rows |= arrays and not (field_of(place.name) or is_archive(place))
    files = bool(file_fields(schema)) and (place.is_dir() or not rows) and path != "-"
    if format == "files" or (format == "auto" and files):
        if options:
            raise RecipeError("files have no options.", where="--input", got=" ".join(options))
        return Files(path)
    return Input(path, format, options, schema, settings)


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
            record[name] = json_of(value) if value.startswith(("[", "{")) else value
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
