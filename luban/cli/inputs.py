"""Rows to predict: JSON Lines, CSV or text, from a file or standard input, one at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from luban.core.contracts import Record, Source
from luban.core.errors import DataError, RecipeError
from luban.data.files import bare_suffix, missing, open_bytes, open_text
from luban.data.sources._rows import RowSource
from luban.data.sources.text import Text
from luban.recipe import override

FORMATS = ("auto", "jsonl", "csv", "text")
STANDARD_INPUT = Path("/dev/stdin")
#: Formats by suffix, ``.gz`` taken off.
_SUFFIXES = {
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "csv": (".csv", ".tsv"),
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

    def look(self) -> tuple[str, int]:
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


def fields_of(options: Sequence[str]) -> dict[str, Any]:
    """Return the record that ``field=value`` arguments describe: texts, or lists as JSON.

    Raises:
        RecipeError: if an argument is not of that form.
    """
    record: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not (name and equals):
            raise RecipeError("a field is given as NAME=VALUE.", got=option)
        try:
            record[name] = json.loads(value) if value.startswith(("[", "{")) else value
        except ValueError:
            record[name] = value
    return record
