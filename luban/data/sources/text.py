"""Plain text: a file, a folder or a glob; a document is a file, a line or a paragraph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, TextIO

from pydantic import Field, field_validator

from luban.core.contracts import Record, SetApart
from luban.core.errors import DataError
from luban.data.files.reading import newline_of, open_text
from luban.data.sources._files import FileSource
from luban.data.sources._patterns import checked, told_by

PIECE = 1 << 18  #: characters after which a long document is cut, at the end of a line


class Text(FileSource):
    """Text files, plain or gzip, streamed in pieces; CRLF becomes LF.

    A long document comes as several records with the same ``_document``; the last one alone
    has ``_last`` true. A record without ``_last`` is a whole document. An empty file is set apart.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".text", ".md")
    document: Literal["file", "line", "paragraph"] = Field(
        default="file", description="What one document is. Empty lines and paragraphs are skipped."
    )
    encoding: str = Field(
        default="utf-8", description="A codec of Python's; a UTF-8 byte order mark is skipped."
    )
    pattern: str = Field(
        default="",
        description="What the files' names tell, such as their label: `{name}.{label}`.",
    )

    def read_file(self, path: Path) -> Iterator[Record]:
        """Yield the records of one file."""
        told = told_by(self.pattern, path.as_posix(), str(path))
        for record in self._documents(path):
            yield {**record, **told} if told and not isinstance(record, SetApart) else record

    def _documents(self, path: Path) -> Iterator[Record]:
        # Of lines, only LF and CRLF end one: a CR in the middle would make two records of it.
        newline = None if self.document == "file" else newline_of(path, self.encoding)
        with open_text(path, self.encoding, newline) as file:
            if self.document == "file":
                yield from _whole(file, path)
            elif self.document == "line":
                yield from _cut(_lines(file), path)
            else:
                yield from _cut(_paragraphs(file), path)

    @field_validator("pattern")
    @classmethod
    def _names_fields(cls, pattern: str) -> str:
        return checked(pattern)


def _whole(file: TextIO, path: Path) -> Iterator[Record]:
    """Yield a file as the pieces of one document.

    It is known by its name, not its path, so that a moved folder is split as before.
    """
    kept: dict[str, Any] | None = None
    for line, text in _pieces(file):
        if kept:
            yield kept
        where, first = f"{path}:{line}", kept is None
        kept = {"text": text, "_where": where, "_document": path.name, "_last": False}
        kept["_first"] = first
    if kept:
        yield {**kept, "_last": True}
    else:
        yield SetApart(DataError("this file is empty."), f"{path}:1")


def _pieces(file: TextIO) -> Iterator[tuple[int, str]]:
    line, rest = 1, ""
    while block := file.read(PIECE):
        text = rest + block
        # A text without line ends is cut all the same: no piece grows without bound.
        cut = text.rfind("\n") + 1 if len(block) == PIECE else 0
        piece, rest = (text[:cut], text[cut:]) if cut else (text, "")
        yield line, piece
        line += piece.count("\n")
    if rest:
        yield line, rest


def _lines(file: TextIO) -> Iterator[tuple[int, str, bool]]:
    """Yield (line, text, whether the line ends here); a line beyond ``PIECE`` is cut."""
    line = 1
    while text := file.readline(PIECE):
        ends = text.endswith("\n") or len(text) < PIECE
        yield line, text.removesuffix("\n").removesuffix("\r") if ends else text, ends
        line += ends


def _paragraphs(file: TextIO) -> Iterator[tuple[int, str, bool]]:
    """Yield (first line, text, whether the paragraph ends here): blank lines divide."""
    start, kept, size = 1, list[str](), 0
    for line, text, ends in _lines(file):
        if ends and not text.strip():
            yield start, "".join(kept).removesuffix("\n"), True
            start, kept, size = line + 1, [], 0
            continue
        kept.append(text + "\n" * ends)
        size += len(text)
        if size >= PIECE:
            yield start, "".join(kept), False
            start, kept, size = line + ends, [], 0
    yield start, "".join(kept).removesuffix("\n"), True


def _cut(parts: Iterable[tuple[int, str, bool]], path: Path) -> Iterator[Record]:
    """Yield documents as records; only those that came in parts carry ``_document``."""
    document = ""
    for line, text, ends in parts:
        where = f"{path}:{line}"
        if ends and not document:
            if text.strip():
                yield {"text": text, "_where": where}
            continue
        first = not document
        document = document or f"{path.name}:{line}"
        known = {"_document": document, "_last": ends, "_first": first}
        yield {"text": text, "_where": where, **known}
        document = "" if ends else document
