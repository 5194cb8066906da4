"""What the names of files tell: splits, what they share, and which are only about the data."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from glob import escape, glob
from os.path import commonprefix
from pathlib import Path

from luban.core.errors import RecipeError
from luban.core.registry import nearest
from luban.core.unicode_text import without_signs
from luban.data.files.reading import is_about

SPLITS = ("train", "validation", "test")
#: What folders, arrays and whole words in the names of files are called that tell a split.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_VALIDATION = "|".join(name for name, split in SPLIT_NAMES.items() if split == "validation")
#: What of the name of a file tells its split; CoNLL's ``testa`` is for validation.
_IN_NAMES = {
    "train": re.compile("train"),
    "validation": re.compile(rf"(?<![a-z])({_VALIDATION}|testa)(?![a-z])"),
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


def check_splits(names: Iterable[str]) -> None:
    """Refuse what a recipe calls a split and is none.

    Raises:
        RecipeError: naming it, and the nearest that there is.
    """
    for name in names:
        if name not in SPLITS:
            raise RecipeError(
                f"there is no split named {name!r}.",
                where="data.source.path",
                expected=", ".join(SPLITS),
                fix=nearest(str(name), list(SPLITS)),
            )


def split_of(name: str) -> str:
    """Return the split that a lower-case name tells; empty: none, or several."""
    found = [split for split, pattern in _IN_NAMES.items() if pattern.search(name)]
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
