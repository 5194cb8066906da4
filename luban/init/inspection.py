"""What is this file or folder? How to read it, what is in it, and a sample of its records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from luban.core.contracts import Record, Source
from luban.core.errors import DataError
from luban.core.files import temporary_folder
from luban.core.progress import tracked
from luban.data.checks.set_apart import Apart, usable
from luban.data.files import formats
from luban.data.files.language import script_shares
from luban.data.files.records import own_fields, text_of
from luban.data.files.table_format import arguments_of
from luban.data.media.media_files import Media, holds_media, media_size
from luban.data.sources.parquet import row_groups
from luban.init.media_layout import media_layout, refuse_untold
from luban.init.media_tables import named_in, tables_in
from luban.init.text_layout import layout, two_sides
from luban.init.text_sets import encoding_of_all
from luban.init.yolo_labels import lines_of

_COUNT_ALL = 1 << 26  #: bytes up to which records and characters are counted, not estimated
_SAMPLE_RECORDS = 20_000
_SAMPLE_CHARACTERS = 4_000_000
_PLACES = 64  #: places of a large file that are looked at
_LONGEST = 1 << 20  #: bytes of a line
_NAMED = 200  #: rows by which the folder of the files is told
_SAMPLE_MEDIA = 2_000
_SAMPLE_BYTES = 1 << 26  #: of images and recordings that are held, not just named


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of data that were never seen before.

    Attributes:
        source: Name and arguments of the source, as in a recipe.
        facts: ``format``, ``encoding``, ``files``, ``bytes`` (unpacked), ``records``,
            ``characters``, ``estimated`` (whether these two are), ``scripts`` (share of letters),
            ``newlines``, ``fields``, ``set apart`` (if any record is), ``looked at`` (if only the
            beginning was: of large files that are packed, or one JSON value); of images and
            recordings neither ``characters`` nor those that tell of text.
        sample: Records from all over the data, in order: all of them if they are few.
    """

    source: dict[str, Any]
    facts: dict[str, Any]
    sample: list[Record] = field(repr=False)


def guess(path: str, told: Mapping[str, Any] | None = None) -> Found:
    """Return how to read a file, folder or glob, and what is in it.

    Args:
        path: The file, folder or glob.
        told: Arguments of the source that are known, such as ``{"encoding": "gb18030"}``.

    Raises:
        DataError: if there is no such file, nothing readable in it, or more than one set.
    """
    told = told or {}
    if found := _media_at(Path(path).expanduser(), told):
        return found
    source, files, left = layout(path)
    if source["name"] == "parallel":
        source, told = two_sides(source, told)
        files = Source.from_dict(source).files()
    facts: dict[str, Any] = {"format": source["name"], "files": len(files)}
    facts["bytes"] = sum(map(_unpacked, files))
    if source["name"] != "parquet":
        facts["encoding"] = told.get("encoding") or encoding_of_all(files, Path(path))
        facts["newlines"] = "CRLF" if b"\r\n" in formats.head(files[0]) else "LF"
        if facts["encoding"] != "utf-8":
            source["encoding"] = facts["encoding"]
    encoding = facts.get("encoding", "utf-8")
    if "pattern" not in source:
        source |= arguments_of(source["name"], files[0], encoding, strict="columns" not in told)
    source |= told
    if any(map(holds_media, next(_records(source), {}).values())):
        return _of_media(source, files)
    counts, sample = _look(source, facts["bytes"], files)
    if source["name"] != "text" and sample:
        facts["fields"] = list(own_fields(sample[0]))
    facts |= counts
    if left:
        facts["left out"] = _shown(left)
    if not facts["characters"]:
        raise DataError("there is no text in it.", where=path, got=f"{facts['bytes']:,} bytes")
    return Found(source, facts, sample)


def _media_at(place: Path, told: Mapping[str, Any]) -> Found | None:
    """Return what is known of a path that holds images or recordings, or a table that names them.

    Raises:
        DataError: if it is not clear what tells of them.
    """
    media = media_layout(place)
    if media is None:
        rows = _rows_that_name(place)
        return _of_media({**rows, **told}, Source.from_dict(rows).files()) if rows else None
    source, files = media
    if source["name"] == "files" and place.is_dir():
        if rows := _rows_that_name(place):
            return _of_media({**rows, **told}, files)
        refuse_untold(place, {**source, **told})
    if source["name"] == "yolo" and "lines" not in told:
        source |= lines_of(Path(source["path"]))
    return _of_media({**source, **told}, files)


def _shown(left: Mapping[str, str]) -> str:
    """Return which files are left out, and why."""
    names: dict[str, list[str]] = {}
    for name, why in left.items():
        names.setdefault(why, []).append(name)
    shown = ((", ".join(some[:3]) + " …" * (len(some) > 3), why) for why, some in names.items())
    return "; ".join(f"{some} ({why})" for some, why in shown)


def _of_media(source: dict[str, Any], files: Sequence[Path]) -> Found:
    """Return what is known of images or recordings: what is in them is for the tasks to see."""
    facts: dict[str, Any] = {"format": source["name"], "files": len(files)}
    facts["bytes"] = sum(file.stat().st_size for file in files)
    records, sample, held, stride = 0, list[Record](), 0, 1
    apart = Apart()
    for number, record in enumerate(tracked(_records(source, apart), "look at the records")):
        records += 1
        if number % stride == 0:
            sample.append(record)
            held += _held(record)
        if len(sample) > 1 and (len(sample) > _SAMPLE_MEDIA or held > _SAMPLE_BYTES):
            sample, stride = sample[::2], 2 * stride
            held = sum(map(_held, sample))
    facts |= {"records": records, "estimated": False, **_told(apart)}
    facts["fields"] = list(own_fields(sample[0])) if sample else []
    return Found(source, facts, sample)


def _rows_that_name(path: Path) -> dict[str, Any] | None:
    """Return the source of a table, or of those in a folder, whose rows name files."""
    tables = tables_in(path)
    if not tables:
        return None
    first = next(iter(tables.values()))
    source: dict[str, Any] = {"name": formats.form_of(first), "path": str(first)}
    encoding = "utf-8" if source["name"] == "parquet" else formats.encoding_of(first)
    if encoding != "utf-8":
        source["encoding"] = encoding
    source |= arguments_of(source["name"], first, encoding)
    rows = list(islice(_records(source), _NAMED))
    if path.is_dir() and first.name.startswith("metadata.") and rows and "file_name" in rows[0]:
        return None  # the source of files reads it
    far = path.is_dir() and first.parent != path
    found = named_in(rows, first.parent, far=far)
    if not found:
        return None
    alike = {"": first}
    if len(tables) > 1:  # one without labels, or of files elsewhere, is not a split to learn from
        alike = {s: table for s, table in tables.items() if _alike(source, table, rows[0], found)}
    if len(alike) > 1:
        source["path"] = {split: str(table) for split, table in alike.items()}
    return {**source, **found}


def _alike(source: Mapping[str, Any], table: Path, first: Record, found: Mapping[str, Any]) -> bool:
    """Return whether a table has the columns of another, and its files lie in the same place."""
    rows = list(islice(_records({**source, "path": str(table)}), _NAMED))
    same = bool(rows) and own_fields(rows[0]).keys() == own_fields(first).keys()
    return same and named_in(rows, table.parent) == found


def _held(record: Record) -> int:
    """Return how many bytes of images and recordings a record holds itself."""
    return sum(
        media_size(value)
        for value in record.values()
        if holds_media(value) and not (isinstance(value, Media) and isinstance(value.source, Path))
    )


def _look(
    source: Mapping[str, Any], size: int, files: Sequence[Path]
) -> tuple[dict[str, Any], list[Record]]:
    """Return records, characters and scripts, and a sample; of large data, from parts of them."""
    records, characters, read, letters = 0, 0, 0, ""
    sample, held, stride, apart = list[Record](), 0, 1, Apart()
    seen: dict[str, str] = {}
    for number, record in enumerate(
        tracked(_some_records(source, size, files, apart), "look at the records")
    ):
        text = text_of(record)
        if len(letters) < _SAMPLE_CHARACTERS // 4:
            letters += text[:10_000]
        records += bool(record.get("_last", True))
        characters += len(text)
        read += _raw_size(record, source["name"])
        if number % stride == 0:
            sample.append(record)
            held += len(text)
        if len(sample) > 1 and (held > _SAMPLE_CHARACTERS or len(sample) > _SAMPLE_RECORDS):
            sample, stride = sample[::2], 2 * stride
            held = sum(len(text_of(kept)) for kept in sample)
        if size > _COUNT_ALL and read > 2 * _COUNT_ALL:
            seen = {"looked at": f"the first {records:,} records only"}
            break
    scale = size / read if size > _COUNT_ALL else 1.0
    counts = {
        "records": max(1, round(records * scale)),
        "characters": round(characters * scale),
        "estimated": size > _COUNT_ALL,
        "scripts": {name: round(share, 3) for name, share in script_shares(letters).items()},
        **seen,
        **_told(apart),
    }
    return counts, sample


def _records(source: Mapping[str, Any], apart: Apart | None = None) -> Iterator[Record]:
    """Yield the records of all splits that can be used; the others go to ``apart``."""
    reader = Source.from_dict(dict(source))
    return usable(chain.from_iterable(map(reader.read, reader.splits())), apart)


def _some_records(
    source: Mapping[str, Any], size: int, files: Sequence[Path], apart: Apart
) -> Iterator[Record]:
    """Yield all records; of large files in lines or row groups, some from all over them."""
    lines = source["name"] in ("jsonl", "lines") or source.get("document") == "line"
    lines |= source["name"] == "csv" and source.get("quoting") is False
    lines &= not source.get("encoding", "").startswith(("utf-16", "utf-32"))  # no whole bytes
    grouped = source["name"] == "parquet"
    packed = any(_unpacked(file) != file.stat().st_size for file in files)
    if size <= _COUNT_ALL or packed or not (lines or grouped):
        yield from _records(source, apart)
        return
    with temporary_folder() as folder:
        for number, file in enumerate(files):
            share = _COUNT_ALL * file.stat().st_size // size
            part = folder / f"{number}" / file.name
            part.parent.mkdir()
            if grouped:
                row_groups(file, part, share / file.stat().st_size, _PLACES)
            else:
                part.write_bytes(b"".join(_pieces(file, share)))
        yield from _records({**source, "path": [str(f) for f in folder.glob("*/*")]}, apart)


def _pieces(path: Path, share: int) -> Iterator[bytes]:
    """Yield whole lines from many places of a file, about so many bytes in all."""
    size, span = path.stat().st_size, share // _PLACES
    with path.open("rb") as file:
        for place in range(_PLACES):
            file.seek(place * size // _PLACES)
            if place:
                file.readline(_LONGEST)
            yield file.read(span) + file.readline(_LONGEST)


def _told(apart: Apart) -> dict[str, str]:
    """Return how many records cannot be used, as a fact; nothing where all can."""
    return {"set apart": f"{len(apart):,}, the first: {apart.lines[0]}"} if apart else {}


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
