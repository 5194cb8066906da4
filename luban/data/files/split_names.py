"""What the names of files tell: splits, what they share, and which are only about the data."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from glob import escape, glob
from os.path import commonprefix
from pathlib import Path

from luban.core.unicode_text import without_signs
from luban.data.files.reading import is_about

SPLITS = {
    "train": re.compile("train"),
    "validation": re.compile(r"(?<![a-z])(dev|val|valid|validation|testa)(?![a-z])"),
    "test": re.compile(r"(?<![a-z])test(?!a(?![a-z]))"),
}
_SPLIT_WORDS = re.compile(r"train(ing)?|validation|valid|val|dev|test(ing|[ab])?|eval|\d+")


def by_split(folder: Path, files: Sequence[Path]) -> dict[str, str | list[str]] | None:
    """Return split to what names its files in a folder; None if their names do not tell it."""
    splits: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        splits[split_of(file.name.lower())].append(file)
    if "" in splits or "train" not in splits or len(splits) < 2:
        return None
    return {split: all_of(folder, splits[split]) for split in SPLITS if split in splits}


def split_of(name: str) -> str:
    """Return the split that a lower-case name tells; empty: none, or several."""
    found = [split for split, pattern in SPLITS.items() if pattern.search(name)]
    return found[0] if len(found) == 1 else ""


def stem_of(name: str) -> str:
    """Return what a file is called beside its split and number: ``cls.dev.2.tsv`` is ``cls``."""
    bare = name.lower().removesuffix(".gz")
    bare = bare.rsplit(".", 1)[0] if "." in bare.strip(".") else bare
    return without_signs(_SPLIT_WORDS.sub(" ", bare), " ").strip()


def inside(folder: Path) -> list[Path]:
    """Return the files right in a folder, but for hidden ones and what is about the data."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for file in files if file.is_file() and not is_about(file.name)]


def counts(path: Path, folder: Path) -> bool:
    """Return whether a file below a folder is data: not hidden, and not about the data."""
    parts = path.relative_to(folder).parts
    return not (any(p.startswith(".") for p in parts) or is_about(path.name))


def all_of(folder: Path, files: Sequence[Path]) -> str | list[str]:
    """Return what names these files of a folder, and no other: a path, a glob or all of them."""
    every = [str(file) for file in files]
    shared = commonprefix([file.name for file in files])  # noqa: RUF071 -- of names, not paths
    pattern = str(folder / f"{escape(shared)}*{files[0].suffix}")
    return every[0] if len(every) == 1 else pattern if sorted(glob(pattern)) == every else every
