"""Tables whose rows name images or recordings: which tables, which column, in which folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luban.core.contracts import Record
from luban.core.errors import DataError
from luban.data.files import formats
from luban.data.files.archives import IMAGES, SOUNDS, field_of
from luban.data.files.reading import bare_suffix
from luban.data.files.records import own_fields
from luban.data.files.split_names import SPLITS, split_of

_TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
_LONGEST = 255  #: characters of a name that a file can have


def tables_in(path: Path) -> dict[str, Path]:
    """Return the table at a path by the split ``""``, or those in a folder by theirs.

    Of several tables those count that are called by splits, as in Common Voice; it is none if
    that does not tell them apart.
    """
    if not path.is_dir():
        return {"": path} if path.is_file() and _is_table(path) else {}
    tables = [file for file in sorted(path.iterdir()) if file.is_file() and _is_table(file)]
    if len(tables) == 1:
        return {"": tables[0]}
    if not tables:
        below = [
            f for folder in sorted(path.iterdir()) if folder.is_dir() for f in folder.iterdir()
        ]
        lower = [file for file in sorted(below) if file.is_file() and _is_table(file)]
        return {"": lower[0]} if len(lower) == 1 else {}
    found: dict[str, list[Path]] = {}
    for table in tables:
        found.setdefault(split_of(table.name.lower()), []).append(table)
    clear = "train" in found and all(len(found.get(split, "1")) == 1 for split in SPLITS)
    return {split: found[split][0] for split in SPLITS if split in found} if clear else {}


def named_in(rows: Sequence[Record], folder: Path, *, far: bool = False) -> dict[str, Any]:
    """Return ``fields`` and ``media`` of a source whose rows name files; empty if they do not.

    Args:
        rows: The first rows.
        folder: Where the table lies; files may lie in it, or in a folder in it. Names that begin
            at the root of the file system may lead anywhere. They may lack their suffix, as those
            of LJSpeech do.
        far: Whether files lie in the folder above, or in one beside the table's, as in ESC-50.
    """
    near = [folder, *(f for f in sorted(folder.iterdir()) if f.is_dir())]
    if far:
        near = [folder.parent, *(f for f in sorted(folder.parent.iterdir()) if f.is_dir())]
    for name in own_fields(rows[0]) if rows else ():
        values = [row.get(name) for row in rows]
        names = [
            value for value in values if isinstance(value, str) and len(value.encode()) <= _LONGEST
        ]
        if len(names) < len(values):
            continue
        for suffix in ("",) if field_of(names[0]) else (*SOUNDS, *IMAGES):
            files = [f"{value}{suffix}" for value in names]
            if (root := _root(files, near)) is not None:
                _refuse_boxes(rows)
                field = str(field_of(files[0]))
                column = f"{{{name}}}{suffix}" if suffix else name
                place = "" if root == folder else str(root)
                return {"fields": {field: column}, "media": {field: place}}
    return {}


def _refuse_boxes(rows: Sequence[Record]) -> None:
    """Refuse a table of boxes: a row is no image, and there may be several for one.

    Raises:
        DataError: if its columns are edges of boxes.
    """
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()) for name in own_fields(rows[0])}
    if {"xmin", "ymin"} <= plain or {"x1", "y1", "x2", "y2"} <= plain or "bbox" in plain:
        raise DataError(
            "this table has a row for each box, not for each image.",
            where=str(rows[0].get("_where", "")).rpartition(":")[0],
            expected="COCO, Pascal VOC or YOLO",
            got=", ".join(own_fields(rows[0])),
            fix="write the boxes in one of these formats.",
        )


def _root(names: Sequence[str], near: Sequence[Path]) -> Path | None:
    """Return the folder in which all these files lie."""
    if all(map(os.path.isabs, names)):
        if not all(map(os.path.isfile, names)):
            return None
        shared = Path(os.path.commonpath([os.path.dirname(name) for name in names]))
        return near[0] if shared.is_relative_to(os.path.abspath(near[0])) else shared
    return next((f for f in near if all((f / name).is_file() for name in names)), None)


def _is_table(path: Path) -> bool:
    """Return whether a file holds rows: by its name, or JSON Lines that are called JSON."""
    suffix = bare_suffix(path)
    return suffix in _TABLES or (suffix == ".json" and formats.form_of(path) == "jsonl")
