"""What is this file or folder? Enough of an answer to write a first recipe."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from luban.core.contracts import Record, Source
from luban.core.errors import DataError
from luban.data.files import bare_suffix, expand, open_bytes, open_text
from luban.data.records import own_fields, text_of
from luban.data.scripts import script_shares

_SAMPLE = 1 << 20
_COUNT_ALL = 1 << 26  #: bytes up to which records and characters are counted, not estimated
_ENCODINGS = ("utf-8", "gb18030", "big5", "latin-1")
_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
}
_TEXT_FIELDS = ("text", "content", "body", "sentence", "article", "document")


def guess(path: str) -> dict[str, Any]:
    """Return how to read a file, folder or glob, and what is in it.

    Returns:
        ``source``: name and arguments of the source, as in a recipe. ``facts``: ``format``,
        ``encoding``, ``files``, ``bytes`` (unpacked), ``records``, ``characters``, ``estimated``
        (whether these two are), ``scripts`` (share of letters), ``newlines``, ``fields``.

    Raises:
        DataError: if there is no such file, or nothing readable in it.
    """
    files, form = _files(path)
    source: dict[str, Any] = {"name": form, "path": path}
    facts: dict[str, Any] = {"format": form, "files": len(files)}
    facts["bytes"] = sum(map(_unpacked, files))
    if form != "parquet":
        head = _head(files[0])
        facts["encoding"], facts["newlines"] = _encoding(head, files[0]), _newlines(head)
        if facts["encoding"] != "utf-8":
            source["encoding"] = facts["encoding"]
    source |= _arguments(form, files[0], facts.get("encoding", "utf-8"))
    fields = _fields(source)
    if fields is not None:
        facts["fields"] = list(fields)
        chosen = _text_field(fields)
        if chosen and chosen != "text":
            source["fields"] = {"text": chosen}
    facts |= _counts(source, facts["bytes"])
    if not facts["characters"]:
        raise DataError("there is no text in it.", where=path, got=f"{facts['bytes']:,} bytes")
    return {"source": source, "facts": facts}


def _files(path: str) -> tuple[tuple[Path, ...], str]:
    """Return the files, all of the form that most bytes have, and that form."""
    files = expand(path, tuple(_FORMATS))
    forms: Counter[str] = Counter()
    for file in files:
        forms[_FORMATS.get(bare_suffix(file)) or _sniff(file)] += file.stat().st_size
    form = forms.most_common(1)[0][0]
    if Path(path).is_dir():
        suffixes = tuple(suffix for suffix, name in _FORMATS.items() if name == form)
        files = expand(path, suffixes)
    return files, form


def _sniff(path: Path) -> str:
    """Return the form of a file whose name does not tell."""
    head = _head(path)
    if head.startswith(b"PAR1"):
        return "parquet"
    if b"\0" in head and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError("this is not a text file.", where=path, expected=", ".join(_FORMATS))
    plain = head.lstrip()
    if plain.startswith(b"{") and _is_json(plain.split(b"\n", 1)[0]):
        return "jsonl"
    return "json" if plain.startswith((b"[{", b"[\n", b"{")) else "text"


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _head(path: Path) -> bytes:
    with open_bytes(path) as file:
        return file.read(_SAMPLE)


def _encoding(head: bytes, path: Path) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        raise DataError("this is not a text file.", where=path, expected=", ".join(_FORMATS))
    for encoding in _ENCODINGS:
        try:
            # Not final: the sample may end inside a character.
            codecs.getincrementaldecoder(encoding)().decode(head)
        except UnicodeDecodeError:
            continue
        return encoding
    raise DataError("the encoding of this file is unknown.", where=path)


def _newlines(head: bytes) -> str:
    return "CRLF" if b"\r\n" in head else "LF"


def _arguments(form: str, path: Path, encoding: str) -> dict[str, Any]:
    if form == "parquet":
        return {}
    with open_text(path, encoding) as file:
        if form == "text":
            return {"document": "line"} if _is_list(file.read(_SAMPLE)) else {}
        if form == "json":
            where = _array(json.load(file), ())
            return {"records": where} if where else {}
        if form == "csv":
            columns = _columns(path, encoding)
            return {"columns": columns} if columns else {}
    return {}


def _columns(path: Path, encoding: str) -> list[str]:
    """Return made-up field names if the first row is data: it holds a number or a long text."""
    reader = Source.from_dict({"name": "csv", "path": str(path), "encoding": encoding})
    header = list(own_fields(next(reader.read("train"), {})))
    if any(len(name) > 64 or name.replace(".", "").isdecimal() for name in header):
        return [f"column{number}" for number in range(1, len(header) + 1)]
    return []


def _is_list(text: str) -> bool:
    """Return whether a text is a list of short entries rather than running text."""
    lines = text.rstrip("\n").split("\n")
    longest = max(map(len, lines))
    blank = sum(not line.strip() for line in lines)
    return len(lines) >= 20 and longest <= 60 and blank == 0


def _array(data: Any, path: tuple[str, ...]) -> str:
    """Return the dotted path of the first array of objects; empty: the top."""
    if isinstance(data, list) and data and isinstance(data[0], dict):
        return ".".join(path)
    for key, value in data.items() if isinstance(data, dict) else ():
        if found := _array(value, (*path, str(key))):
            return found
    return ""


def _records(source: Mapping[str, Any]) -> Iterator[Record]:
    reader = Source.from_dict(dict(source))
    return reader.read(reader.splits()[0])


def _fields(source: Mapping[str, Any]) -> dict[str, float] | None:
    """Return each field's mean text length over the first rows; None for plain text."""
    if source["name"] == "text":
        return None
    lengths: dict[str, float] = {}
    for record in islice(_records(source), 100):
        for name, value in own_fields(record).items():
            plain = "".join(value) if _is_lines(value) else value
            size = len(plain) if isinstance(plain, str) else 0
            lengths[name] = lengths.get(name, 0) + size / 100
    return lengths


def _is_lines(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _text_field(fields: Mapping[str, float]) -> str:
    usual = next((name for name in _TEXT_FIELDS if fields.get(name)), "")
    longest = max(fields, key=lambda name: fields[name], default="")
    return usual or (longest if longest and fields[longest] else "")


def _counts(source: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Return records, characters and scripts; of large data, from the first part of it."""
    records, characters, read, sample = 0, 0, 0, ""
    for record in _records(source):
        text = text_of(record)
        if len(sample) < _SAMPLE:
            sample += text[:10_000]
        records += bool(record.get("_last", True))
        characters += len(text)
        read += _raw_size(record, source["name"])
        if size > _COUNT_ALL and read > _COUNT_ALL:
            break
    scripts = {name: round(share, 3) for name, share in script_shares(sample).items()}
    scale = size / read if size > _COUNT_ALL else 1.0
    return {
        "records": max(1, round(records * scale)),
        "characters": round(characters * scale),
        "estimated": size > _COUNT_ALL,
        "scripts": scripts,
    }


def _raw_size(record: Record, form: str) -> int:
    """Return about how many bytes of file a record takes."""
    if form == "text":
        return len(record["text"].encode())
    return len(json.dumps(own_fields(record), ensure_ascii=False, default=str).encode()) + 1


def _unpacked(path: Path) -> int:
    """Return the size of a file, unpacked: gzip keeps it in its last four bytes."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path.stat().st_size
        file.seek(-4, 2)
        return int.from_bytes(file.read(4), "little")
