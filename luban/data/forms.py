"""Which form data files have: told by how they lie, by their names and by what is in them."""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from glob import escape, glob
from os.path import commonprefix
from pathlib import Path
from typing import Any

from luban.core.errors import DataError
from luban.data.files import bare_suffix, expand, open_bytes

_HEAD = 1 << 20
FORMATS = {
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
_PLAIN = (".txt", ".text")
_SPLITS = {
    "train": re.compile("train"),
    "validation": re.compile(r"(?<![a-z])(dev|val|valid|validation)(?![a-z])"),
    "test": re.compile(r"(?<![a-z])test"),
}
_SIDE = re.compile(r"(?:(?P<stem>.+)[._-])?(?P<side>[a-z]{2}|src|tgt|trg|source|target)")
_SIDES = {"src": "source", "tgt": "target", "trg": "target"}
_TAG = re.compile(r"O|[BIESMLU][-_]\S+")
_LABELLED = re.compile(r"(?:__label__(?P<word>\S+)|(?P<digit>\d{1,2}))[ \t]+\S.*")


def layout(path: str) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """Return the source that a file, folder or glob is for, without its details, and the files.

    Raises:
        DataError: if there is no such file, or nothing readable in it.
    """
    for find in (_parallel, _labelled, _given):
        if found := find(Path(path).expanduser()):
            return found
    files = expand(path, tuple(FORMATS))
    forms: Counter[str] = Counter()
    for file in files:
        forms[form_of(file)] += file.stat().st_size
    form = forms.most_common(1)[0][0]
    if Path(path).is_dir() and form in FORMATS.values():
        files = expand(path, tuple(suffix for suffix, name in FORMATS.items() if name == form))
    return {"name": form, "path": path}, files


def form_of(path: Path) -> str:
    """Return the source that reads a file, by its name and, where that does not tell, content."""
    known = FORMATS.get(bare_suffix(path))
    if known in ("jsonl", "csv", "parquet"):
        return known
    data = head(path)
    if data.startswith(b"PAR1"):
        return "parquet"
    if b"\0" in data and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError("this is not a text file.", where=path, expected=", ".join(FORMATS))
    plain = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if known == "json" or plain.startswith((b"{", b"[{", b"[\n", b"[\r\n")):
        first, _, rest = plain.partition(b"\n")
        several = known is None or rest.lstrip().startswith(b"{")
        if plain.startswith(b"{") and several and _is_json(first):
            return "jsonl"
        return "squad" if b'"qas"' in plain else "json"
    lines = first_lines(path, encoding_of(path))
    if conll_columns(lines):
        return "conll"
    if bare_suffix(path) != ".md" and is_table(lines):
        return "csv"
    return "lines" if is_labelled(lines) else "text"


def head(path: Path) -> bytes:
    """Return the first MiB of a file, unpacked."""
    with open_bytes(path) as file:
        return file.read(_HEAD)


def first_lines(path: Path, encoding: str) -> list[str]:
    """Return the whole lines within the first MiB of a file."""
    data = head(path)
    lines = data.decode(encoding, errors="replace").removeprefix("\ufeff").split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if len(data) == _HEAD else lines)]


def encoding_of(path: Path) -> str:
    """Return the encoding of a file, by its first MiB.

    Raises:
        DataError: if it is no text.
    """
    data = head(path)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in data:
        raise DataError("this is not a text file.", where=path, expected=", ".join(FORMATS))
    # In Chinese encodings most high bytes have another beside them; in European ones few have.
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", data)]
    lonely = runs.count(1) > 0.7 * sum(runs)
    for encoding in ("utf-8", *(("cp1252",) if lonely else ("gb18030", "big5")), "latin-1"):
        try:
            # Not final: the sample may end inside a character.
            codecs.getincrementaldecoder(encoding)().decode(data)
        except UnicodeDecodeError:
            continue
        return (
            "latin-1" if encoding == "cp1252" and not re.search(rb"[\x80-\x9f]", data) else encoding
        )
    raise DataError("the encoding of this file is unknown.", where=path)


def conll_columns(lines: Sequence[str]) -> dict[str, int]:
    """Return where tokens and tags are, as fields of the source ``conll``; empty: not columns."""
    rows = [re.split(r"[ \t]+", line.strip(" \t")) for line in lines if line.strip()]
    rows = [row for row in rows if not row[0].startswith(("#", "-DOCSTART-"))]
    if len(rows) < 2 or len(rows) == len(lines):
        return {}
    width, times = Counter(map(len, rows)).most_common(1)[0]
    if width < 2 or times < 0.95 * len(rows):
        return {}
    rows = [row for row in rows if len(row) == width]
    for column in range(width - 1, 0, -1):
        tags = [row[column] for row in rows]
        if all(map(_TAG.fullmatch, tags)) and len(set(tags)) > 1:
            numbered = width > 2 and all(row[0].isdecimal() for row in rows)
            found = {"tokens": 1} if numbered else {}
            return found | {"tags": column if column < width - 1 else -1}
    return {}


def is_table(lines: Sequence[str], mark: str = "\t") -> bool:
    """Return whether nearly every line has as many tabs, or another mark, at least one."""
    tabs = Counter(line.count(mark) for line in lines if line.strip())
    times, total = max(((n, t) for t, n in tabs.items()), default=(0, 0))[0], sum(tabs.values())
    return total > 1 and tabs[0] == 0 and times >= 0.95 * total


def has_quotes(lines: Sequence[str], mark: str = "\t") -> bool:
    """Return whether quotes stand around fields, which a mark divides, rather than in the text.

    They do if all rows so read have one width and no field swallows a mark; it may go on over line
    ends. The lines may end within such a field: they are the head of a file.
    """
    quoted = any(cell.startswith('"') for line in lines for cell in line.split(mark))
    if not quoted:
        return not any('"' in line for line in lines)
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=mark, strict=True)
    widths, read = set[int](), 0
    try:
        for row in reader:
            widths |= {len(row)} if row else set()
            if any(mark in cell for cell in row):
                return False
            read = reader.line_num
    except csv.Error:
        return len(widths) == 1 and read >= 0.9 * len(lines)
    return len(widths) == 1


def is_labelled(lines: Sequence[str]) -> bool:
    """Return whether every line is a short number, or fastText's mark, and a text."""
    filled = [line for line in lines if line.strip()]
    found = [_LABELLED.fullmatch(line) for line in filled]
    labels = Counter(match["word"] or match["digit"] for match in found if match)
    return len(filled) > 1 and all(found) and 2 <= len(labels) <= max(2, len(filled) // 4)


def is_list(lines: Sequence[str]) -> bool:
    """Return whether lines are a list of short entries rather than running text."""
    filled = lines[:-1] if lines and not lines[-1] else lines
    return len(filled) >= 20 and all(0 < len(line.strip()) <= 60 for line in filled)


def array_in(data: Any, path: tuple[str, ...] = ()) -> str:
    """Return the dotted path of the first array of objects; empty: the top."""
    if isinstance(data, list) and data and isinstance(data[0], dict):
        return ".".join(path)
    for key, value in data.items() if isinstance(data, dict) else ():
        if found := array_in(value, (*path, str(key))):
            return found
    return ""


def by_split(folder: Path, files: Sequence[Path]) -> dict[str, str | list[str]] | None:
    """Return split to what names its files in a folder; None if their names do not tell it."""
    splits: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        splits[split_of(file.name.lower())].append(file)
    if "" in splits or "train" not in splits or len(splits) < 2:
        return None
    return {split: _all_of(folder, splits[split]) for split in _SPLITS if split in splits}


def _all_of(folder: Path, files: Sequence[Path]) -> str | list[str]:
    """Return what names these files of a folder, and no other: a path, a glob or all of them."""
    every = [str(file) for file in files]
    shared = commonprefix([file.name for file in files])  # noqa: RUF071 -- of names, not paths
    pattern = str(folder / f"{escape(shared)}*{files[0].suffix}")
    return every[0] if len(every) == 1 else pattern if sorted(glob(pattern)) == every else every


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _parallel(path: Path) -> tuple[dict[str, Any], tuple[Path, ...]] | None:
    """Find files whose names differ in two languages: train.en beside train.de."""
    stems: dict[str, dict[str, Path]] = defaultdict(dict)
    for file in _inside(path.parent if path.is_file() else path):
        name = file.name.lower().removesuffix(".gz").removesuffix(".txt")
        found = _SIDE.fullmatch(name)
        if found and bare_suffix(file) not in (".md", ".pq"):
            side = _SIDES.get(found["side"], found["side"])
            stems[found["stem"] or ""][side] = file
    if path.is_file():
        stems = {stem: sides for stem, sides in stems.items() if path in sides.values()}
    pairs = {stem: sides for stem, sides in stems.items() if len(sides) == 2}
    languages = {tuple(sorted(sides)) for sides in pairs.values()}
    if len(languages) != 1 or len(pairs) != len(stems):
        return None
    order = sorted(next(iter(languages)), key=lambda side: (side != "source", side != "en", side))
    splits: dict[str, dict[str, str]] = {}
    for stem, sides in sorted(pairs.items()):
        splits.setdefault(split_of(stem), {side: str(sides[side]) for side in order})
    if "train" in splits and len(splits) > 1 and "" not in splits:
        tables = {split: splits[split] for split in _SPLITS if split in splits}
        files = [Path(file) for table in tables.values() for file in table.values()]
        return {"name": "parallel", "path": tables}, tuple(files)
    every = {side: [str(sides[side]) for _, sides in sorted(pairs.items())] for side in order}
    flat = {side: files[0] if len(files) == 1 else files for side, files in every.items()}
    return {"name": "parallel", "path": flat}, tuple(
        Path(file) for files in every.values() for file in files
    )


def _labelled(path: Path) -> tuple[dict[str, Any], tuple[Path, ...]] | None:
    """Find a folder of folders of texts, or one such for each split."""
    if not path.is_dir() or _inside(path):
        return None
    splits = {s: f for f in _folders(path) if (s := split_of(f.name.lower())) and _is_labels(f)}
    if "train" in splits and len(splits) > 1:
        where: Any = {split: str(splits[split]) for split in _SPLITS if split in splits}
    elif _is_labels(path):
        where = str(path)
    else:
        return None
    roots = where.values() if isinstance(where, dict) else [where]
    return {"name": "folders", "path": where}, tuple(
        file for root in roots for file in expand(root, _PLAIN)
    )


def _given(path: Path) -> tuple[dict[str, Any], tuple[Path, ...]] | None:
    """Find a folder whose files are called by splits, one or several for each, all of one form.

    It may lie in folders that hold nothing else, as in a set fetched from Hugging Face.
    """
    while path.is_dir() and not _inside(path) and len(_folders(path)) == 1:
        path = _folders(path)[0]
    files = _inside(path) if path.is_dir() else []
    table = by_split(path, files)
    forms = {form_of(file) for file in files} if table else set()
    return ({"name": forms.pop(), "path": table}, tuple(files)) if len(forms) == 1 else None


def _inside(folder: Path) -> list[Path]:
    """Return the files right in a folder, but for hidden ones and what is about the data."""
    about = ("readme", "license", "licence", "copying", "changelog", ".")
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for file in files if file.is_file() and not file.name.lower().startswith(about)]


def _folders(folder: Path) -> list[Path]:
    return [f for f in sorted(folder.iterdir()) if f.is_dir() and not f.name.startswith(".")]


def _is_labels(folder: Path) -> bool:
    """Return whether a folder holds two folders or more, and in these several texts."""
    folders = [] if _inside(folder) else _folders(folder)
    texts = [sum(bare_suffix(file) in _PLAIN for file in _inside(f)) for f in folders]
    return len(texts) >= 2 and min(texts) >= 1 and sum(texts) > len(texts)


def split_of(name: str) -> str:
    """Return the split that a lower-case name tells; empty: none, or several."""
    found = [split for split, pattern in _SPLITS.items() if pattern.search(name)]
    return found[0] if len(found) == 1 else ""
