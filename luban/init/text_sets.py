"""Whether the text files in a folder are one set, and which of them: the others are told."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from os.path import commonprefix
from pathlib import Path
from typing import Any, NamedTuple

from luban.core.contracts import Source
from luban.core.errors import DataError
from luban.data.checks.set_apart import usable
from luban.data.files import formats
from luban.data.files.reading import bare_suffix
from luban.data.files.records import own_fields
from luban.data.files.split_names import split_of, stem_of
from luban.data.files.table_format import arguments_of

#: Lists of what classes and words are called, and forms to be filled in.
_LISTS = re.compile(r"class(es)?|labels?|vocab(ulary)?|wnids|words|names|stopwords|index")
_SUBMISSION = re.compile(r"sample[_-]?submission|submission|gender_submission")
_ROWS = 500  #: rows of a file by which its columns are told
_FEW = 50  #: values up to which a column may be one of labels


class Kind(NamedTuple):
    """What can be read of a file: the form, and what its columns are called."""

    form: str
    columns: tuple[str, ...]


def one_set(folder: Path, files: Sequence[Path]) -> tuple[list[Path], dict[str, str]]:
    """Return the files of the one set in a folder, and what is left out and why.

    Raises:
        DataError: if there are several sets: it lists them.
    """
    left: dict[str, str] = {}
    kinds: dict[Kind, list[Path]] = defaultdict(list)
    for file in files:
        if _SUBMISSION.fullmatch(stem_of(file.name).replace(" ", "_")):
            left[file.name] = "a form to be filled in"
            continue
        try:
            kinds[kind_of(file)].append(file)
        except DataError:
            if len(files) == 1 or bare_suffix(file) in formats.FORMATS:
                raise
            left[file.name] = "not a text file"
    _set_aside(kinds, left)
    if len(kinds) > 1:
        raise _several(folder, {_shown(kind): found for kind, found in kinds.items()})
    if not kinds:
        raise DataError(
            "there is no text file here.", where=folder, got=", ".join([*left][:5]) or "no file"
        )
    (kind, found), *_ = kinds.items()
    _check_alike(folder, kind, found)
    named = {split_of(file.name.lower()) for file in found}
    if "" in named and {"train"} < named - {""} and kind.form not in ("text",):
        stray = [file.name for file in found if not split_of(file.name.lower())]
        raise DataError(
            "some of these files are called by splits, and others are not.",
            where=folder,
            got=f"{', '.join(stray[:5])} beside {', '.join(sorted(named - {''}))}",
            fix="move these away, or name what belongs together by a glob.",
        )
    return sorted(found), left


def _set_aside(kinds: dict[Kind, list[Path]], left: dict[str, str]) -> None:
    """Leave out lists of names and test data without answers; let more columns be as good."""
    if len(kinds) < 2:
        return
    main = max(kinds, key=lambda kind: sum(file.stat().st_size for file in kinds[kind]))
    for kind in [kind for kind in kinds if kind != main]:
        own, theirs = set(main.columns), set(kind.columns)
        splits = {split_of(file.name.lower()) for file in kinds[kind]}
        same = kind.form == main.form and bool(own & theirs)
        if kind.form == "text" and all(map(is_list_of_names, kinds[kind])):
            why = "a list of names"
        elif same and own <= theirs:
            kinds[main] += kinds.pop(kind)
            continue
        elif same and splits == {"test"}:
            why = f"without {', '.join(name for name in main.columns if name not in theirs)}"
        else:
            continue
        left |= {file.name: why for file in kinds.pop(kind)}


def kind_of(path: Path) -> Kind:
    """Return what can be read of a file.

    Raises:
        DataError: if it is no text.
    """
    form = formats.form_of(path)
    if form in ("text", "lines", "squad", "conll"):
        return Kind(form, ())
    names: dict[str, None] = {}
    for row in islice(_rows(form, path), _ROWS):
        names |= dict.fromkeys(own_fields(row))
    return Kind(form, tuple(names))


def encoding_of_all(files: Sequence[Path], folder: Path) -> str:
    """Return the one encoding of all these files; those in ASCII fit any.

    Raises:
        DataError: if they have several: a source reads one.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        found[formats.encoding_of(file, ascii_too=True)].append(file)
    if {"latin-1", "cp1252"} == found.keys() - {"ascii"}:
        return "cp1252"
    several = [name for name in found if name != "ascii"]
    if len(several) > 1:
        shown = [f"{name}: {len(found[name])} ({found[name][0].name} …)" for name in several]
        worst = min(several, key=lambda name: (name == "utf-8", len(found[name])))
        raise DataError(
            "these files have different encodings.",
            where=folder,
            expected="one encoding",
            got="; ".join(shown),
            fix=f"write them in UTF-8: iconv -f {worst} -t utf-8 IN > OUT; or name those of one.",
        )
    return several[0] if several else "utf-8"


def one_kind(files: list[Path], where: Path) -> list[Path]:
    """Return these files, which are all of one form.

    Raises:
        DataError: if they are not.
    """
    kinds = {formats.form_of(file) for file in files}
    if len(kinds) > 1:
        raise DataError(
            "these files are of several formats.", where=where, got=", ".join(sorted(kinds))
        )
    return files


def _check_alike(folder: Path, kind: Kind, files: Sequence[Path]) -> None:
    """Refuse files of one form that differ in the values of a column: several sets of labels."""
    stems: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        stems[stem_of(file.name)].append(file)
    if len(stems) < 2 or len(stems) > 20 or not (kind.columns or kind.form == "lines"):
        return
    values = {stem: _values(kind.form, found) for stem, found in stems.items()}
    first, *others = values.values()
    for other in others:
        for name in first.keys() & other.keys():
            if not first[name] & other[name]:
                sets = {
                    f"{name}: {_some(values[stem].get(name, ()))}": f for stem, f in stems.items()
                }
                raise _several(folder, sets)


def _values(form: str, files: Sequence[Path]) -> dict[str, set[str]]:
    """Return the values of each column that has few."""
    columns: dict[str, list[str]] = defaultdict(list)
    for row in islice(_rows(form, files[0]), _ROWS):
        for name, value in own_fields(row).items():
            if isinstance(value, str | int | bool):
                columns[name].append(str(value))
    return {
        name: found
        for name, column in columns.items()
        if len(found := set(column)) <= min(_FEW, len(column) // 4) and max(map(len, found)) <= 64
    }


def _several(folder: Path, sets: Mapping[str, Sequence[Path]]) -> DataError:
    lines = [
        f"{len(files)} of {what}: {', '.join(file.name for file in files[:4])}"
        + (" …" if len(files) > 4 else "")
        for what, files in sets.items()
    ]
    one = next(iter(sets.values()))
    shared = commonprefix([file.name for file in one])  # noqa: RUF071 -- of names, not paths
    name = f"'{one[0].parent}/{shared}*'" if len(one) > 1 and shared else str(one[0])
    return DataError(
        "\n    ".join(["this folder holds several sets.", *lines]),
        where=folder,
        expected="files of one form, with the same columns and labels",
        fix=f"name one, as in: luban init {name}; a glob that matches all reads them as one.",
    )


def _shown(kind: Kind) -> str:
    named = ", ".join(kind.columns[:8]) + (" …" if len(kind.columns) > 8 else "")
    return f"{kind.form} ({named})" if kind.columns else kind.form


def _some(values: Any) -> str:
    found = sorted(values)
    return ", ".join(found[:4]) + (" …" if len(found) > 4 else "")


def is_list_of_names(path: Path) -> bool:
    """Return whether a file lists what classes or words are called."""
    named = _LISTS.fullmatch(stem_of(path.name)) or bare_suffix(path) in (".vocab", ".names")
    return bool(named) and path.stat().st_size < 1 << 24


def _rows(form: str, path: Path) -> Iterator[Any]:
    encoding = "utf-8" if form == "parquet" else formats.encoding_of(path)
    source = {"name": form, "path": str(path), **arguments_of(form, path, encoding, strict=False)}
    if encoding not in ("utf-8", "ascii"):
        source["encoding"] = encoding
    return usable(Source.from_dict(source).read("train"))
