"""How text files lie: alone, by split, by label, side by side in languages."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from glob import escape, glob
from itertools import combinations
from os.path import commonprefix
from pathlib import Path
from typing import Any, NamedTuple

from luban.core.contracts import Source
from luban.core.errors import DataError
from luban.data.files import formats
from luban.data.files.reading import bare_suffix, expand
from luban.data.files.split_names import SPLITS, all_of, by_split, counts, inside, split_of
from luban.init.text_sets import is_list_of_names, one_kind, one_set
from luban.init.unsupported_formats import refuse_foreign

_PLAIN = (".txt", ".text")
_SIDE = re.compile(r"(?:(?P<stem>.+)[._-])?(?P<side>[a-z]{2}|src|tgt|trg|source|target)")
_SIDES = {"src": "source", "tgt": "target", "trg": "target"}
#: Words that are labels where files are called so.
_CLASSES = frozenset(
    "pos neg positive negative neutral spam ham fake real true false".split()  # noqa: SIM905
)
_UNLABELLED = frozenset(("unsup", "unlabeled", "unlabelled", "unsupervised"))
_MARKUP = re.compile(r"\s*</?(url|title|doc|seg|reviewer|translator|speaker|talkid|keywords)\b")
#: Fields without which a source is none.
_NEEDED: Mapping[str, Mapping[str, str]] = {"lines": {"pattern": "(?P<text>.*)"}}


class Layout(NamedTuple):
    """How data lie.

    Attributes:
        source: The source that reads them, without its details.
        files: Its files.
        left: Files that are left out, and why.
    """

    source: dict[str, Any]
    files: tuple[Path, ...]
    left: Mapping[str, str] = {}


def layout(path: str) -> Layout:
    """Return the source that a file, folder or glob is for, without its details, and the files.

    A glob is taken at its word: all that it matches is one set.

    Raises:
        DataError: if there is no such file, nothing readable in it, or more than one set.
    """
    place = Path(path).expanduser()
    refuse_foreign(place)
    for find in (_parallel, _labelled, _named_by_label):
        if found := find(place):
            return found
    while place.is_dir() and not inside(place) and len(_folders(place)) == 1:
        place = _folders(place)[0]
    if not place.is_dir():
        files = list(expand(path, ()))
        if len(files) > 1:
            return _of_files(place.parent, path, one_kind(files, place), {})
        return Layout({"name": formats.form_of(files[0]), "path": path}, tuple(files))
    files = [file for file in sorted(place.rglob("*")) if file.is_file() and counts(file, place)]
    if not files:
        expand(path, tuple(formats.FORMATS))  # says what is missing
    chosen, left = one_set(place, files)
    return _of_files(place, path, chosen, left)


def two_sides(
    source: dict[str, Any], told: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a source of parallel files with two sides, and what else is told of it.

    ``fields`` choose and name them: ``{"source": "cs", "target": "en"}``.

    Raises:
        DataError: if there are more than two and none are chosen, or others than there are.
    """
    rest, path = dict(told), source["path"]
    fields: dict[str, str] = rest.pop("fields", {})
    tables = [path] if not any(isinstance(v, dict) for v in path.values()) else [*path.values()]
    sides = [*tables[0]]
    if (len(sides) > 2 and not fields) or not {*fields.values()} <= {*sides}:
        pairs = [f"fields.source={a} fields.target={b}" for a, b in combinations(sides, 2)]
        raise DataError(
            f"there are texts in {len(sides)} languages.",
            where=next(iter(tables[0].values())),
            expected=f"two of {', '.join(sides)}",
            got=", ".join(fields.values()) or None,
            fix=f"say which: {'; or '.join(pairs[:3])}.",
        )
    if fields:
        chosen = [{ours: table[name] for ours, name in fields.items()} for table in tables]
        path = chosen[0] if tables == [path] else dict(zip(path, chosen, strict=True))
    return {**source, "path": path}, rest


def _of_files(folder: Path, path: str, files: Sequence[Path], left: Mapping[str, str]) -> Layout:
    """Return the source of files of one form: by their splits, if their names tell these."""
    form = formats.form_of(files[0])
    named: Any = by_split(files[0].parent, files) if len({f.parent for f in files}) == 1 else None
    if named is None:
        suffixes = Source.from_dict({"name": form, "path": "", **_NEEDED.get(form, {})}).suffixes  # type: ignore[attr-defined]
        every = [f for f in sorted(folder.rglob("*")) if f.is_file() and counts(f, folder)]
        whole = [file for file in every if bare_suffix(file) in suffixes]
        named = path if whole == list(files) or not Path(path).is_dir() else None
        if named is None:
            one = len({f.parent for f in files}) == 1
            named = all_of(files[0].parent, files) if one else [str(file) for file in files]
    return Layout({"name": form, "path": named}, tuple(files), left)


def _parallel(path: Path) -> Layout | None:
    """Find files whose names differ in two languages: train.en beside train.de."""
    stems: dict[str, dict[str, Path]] = defaultdict(dict)
    twice: DataError | None = None  # of files that turn out to be sides
    for file in inside(path.parent if path.is_file() else path):
        name = file.name.lower().removesuffix(".gz").removesuffix(".txt")
        found = _SIDE.fullmatch(name)
        if found and bare_suffix(file) not in (".md", ".pq"):
            side = _SIDES.get(found["side"], found["side"])
            table = stems[found["stem"] or ""]
            twice = twice or (_twice(table[side], file, side) if side in table else None)
            table[side] = file
    if path.is_file():
        stems = {stem: sides for stem, sides in stems.items() if path in sides.values()}
    pairs = {stem: sides for stem, sides in stems.items() if len(sides) >= 2}
    languages = {tuple(sorted(sides)) for sides in pairs.values()}
    if len(languages) != 1 or len(pairs) != len(stems):
        return None
    if twice is not None:
        raise twice
    _refuse_markup([file for sides in pairs.values() for file in sides.values()])
    order = sorted(next(iter(languages)), key=lambda side: (side != "source", side != "en", side))
    splits: dict[str, list[dict[str, Path]]] = defaultdict(list)
    for stem, sides in sorted(pairs.items()):
        splits[split_of(stem)].append(sides)
    if "train" in splits and len(splits) > 1 and "" not in splits:
        tables = {split: _joined(splits[split], order) for split in SPLITS if split in splits}
        files = [file for split in tables for sides in splits[split] for file in sides.values()]
        return Layout({"name": "parallel", "path": tables}, tuple(files))
    every = [sides for _, sides in sorted(pairs.items())]
    flat = _joined(every, order)
    paths = tuple(sides[side] for side in order for sides in every)
    return Layout({"name": "parallel", "path": flat}, paths)


def _joined(pairs: Sequence[Mapping[str, Path]], order: Sequence[str]) -> dict[str, Any]:
    """Return the file of each side, or the files of several pairs, as the source takes them."""
    every = {side: [str(sides[side]) for sides in pairs] for side in order}
    return {side: files[0] if len(files) == 1 else files for side, files in every.items()}


def _twice(one: Path, other: Path, name: str) -> DataError:
    """Return the error for two paths of which each could be the one: none is left out silently."""
    return DataError(
        f"two paths here look like {name!r}.",
        where=other.parent,
        got=f"{one.name} and {other.name}",
        fix="move one of them away, or name the files, as in: luban init 'FOLDER/NAME*'.",
    )


def _refuse_markup(files: Sequence[Path]) -> None:
    """Refuse parallel files with lines that are markup, as those of IWSLT.

    Raises:
        DataError: naming the first such line.
    """
    for file in files:
        for number, line in enumerate(
            formats.first_lines(file, formats.encoding_of(file))[:1000], 1
        ):
            if _MARKUP.match(line):
                raise DataError(
                    "some lines of this file are tags, not text.",
                    where=f"{file}:{number}",
                    expected="a sentence in each line",
                    got=line,
                    fix="take them out of all sides: grep -v '^ *<' IN > OUT.",
                )


def _labelled(path: Path) -> Layout | None:
    """Find a folder of folders of texts, or one such for each split."""
    if not path.is_dir():
        return None
    left = {file.name: "beside the folders" for file in inside(path)}
    if not all(is_list_of_names(path / name) or _is_note(path / name) for name in left):
        return None
    splits: dict[str, Path] = {}
    for folder in _folders(path):
        if (split := split_of(folder.name.lower())) and _labels(folder):
            if split in splits:
                raise _twice(splits[split], folder, split)
            splits[split] = folder
    roots = {split: splits[split] for split in SPLITS if split in splits}
    if not ("train" in roots and len(roots) > 1):
        roots = {"": path} if _labels(path) else {}
    if not roots:
        return None
    where: dict[str, Any] = {}
    for split, root in roots.items():
        kept = [f for f in _labels(root) if f.name.lower() not in _UNLABELLED]
        gone = {f"{root.name}/{f.name}": "without labels" for f in _labels(root) if f not in kept}
        left |= gone
        where[split] = [f"{folder}/*" for folder in kept] if gone else str(root)
    files = tuple(
        file
        for root in roots.values()
        for folder in _labels(root)
        if folder.name.lower() not in _UNLABELLED
        for file in sorted(folder.rglob("*"))
        if file.is_file() and counts(file, folder)
    )
    return Layout({"name": "folders", "path": where.get("", where)}, files, left)


def _named_by_label(path: Path) -> Layout | None:
    """Find files that are called by labels: ``x.pos`` and ``x.neg``, or ``spam.txt``."""
    files = inside(path)
    for form, pattern in ((re.compile(r"(?:(.+)\.)?(\w+)"), "label"), (re.compile(r"(.+)"), "")):
        names = [file.name.lower().removesuffix(".gz") for file in files]
        if not pattern:
            names = [name.rsplit(".", 1)[0] for name in names]
        found = [form.fullmatch(name) for name in names]
        labels = [match[match.lastindex or 0] for match in found if match]
        if len(files) < 2 or len(labels) < len(files) or not {*labels} <= _CLASSES:
            continue
        if len({*labels}) < 2:
            continue
        suffix = "" if pattern else "".join(Path(files[0].name).suffixes)
        packed = ".gz" if pattern and files[0].name.endswith(".gz") else ""
        holes = "{label}" + suffix
        if pattern:
            holes = ("{file}." if "." in names[0] else "") + "{label}" + packed
        where: Any = by_split(path, files) or _all_of_any(path, files)
        source = {"name": "text", "path": where, "document": "line", "pattern": holes}
        return Layout(source, tuple(files))
    return None


def _all_of_any(folder: Path, files: Sequence[Path]) -> str | list[str]:
    shared = commonprefix([file.name for file in files])  # noqa: RUF071 -- of names, not paths
    pattern = str(folder / f"{escape(shared)}*")
    every = [str(file) for file in files]
    return pattern if sorted(glob(pattern)) == every else every


def _is_note(path: Path) -> bool:
    """Return whether a file is of a form that no source reads: a note on the data."""
    return bare_suffix(path) not in formats.FORMATS


def _folders(folder: Path) -> list[Path]:
    return [f for f in sorted(folder.iterdir()) if f.is_dir() and not f.name.startswith(".")]


def _labels(folder: Path) -> list[Path]:
    """Return the folders in a folder if they are labels: two or more, with several texts each."""
    if any(bare_suffix(file) in formats.FORMATS for file in inside(folder)):
        return []
    folders = _folders(folder)
    texts = [inside(f) for f in folders]
    if len(folders) < 2 or min(map(len, texts)) < 1 or sum(map(len, texts)) <= len(texts):
        return []
    plain = [bare_suffix(f) in _PLAIN or bare_suffix(f) not in formats.FORMATS for f in texts[0]]
    if not all(plain) or not all(formats.form_of(found[0]) in ("text", "lines") for found in texts):
        return []
    return folders
