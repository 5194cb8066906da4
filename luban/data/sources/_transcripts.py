"""What text files tell of the recordings in a folder or archive: transcripts, and splits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from luban.core.errors import DataError
from luban.data.files.archives import field_of
from luban.data.files.split_names import SPLIT_NAMES

_LIST = re.compile(r"(train|training|valid|validation|test|testing)_list")


def stem(name: str) -> str:
    """Return a name without its suffix."""
    return str(PurePosixPath(name).with_suffix(""))


class Told(NamedTuple):
    """What a line of a text file tells of a recording.

    Attributes:
        where: The file, and the line if it has several.
        name: The recording without its suffix, or the file; empty: the line names none.
        value: What is said in it, or the split it is of.
    """

    where: str
    name: str
    value: str


def listed_splits(texts: Mapping[str, bytes], names: Collection[str]) -> dict[str, list[Told]]:
    """Return the files that list names, as ``testing_list.txt`` does in Speech Commands.

    Each with the split of every name in it.
    """
    known, found = set(names), {}
    for name, data in texts.items():
        folder, match = PurePosixPath(name).parent, _LIST.fullmatch(PurePosixPath(name).stem)
        if not match:
            continue
        entries = [
            Told(f"{name}:{number}", str(folder / line.strip()), SPLIT_NAMES[match[1]])
            for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1)
            if line.strip()
        ]
        if any(entry.name in known for entry in entries):
            found[name] = entries
    return found


def transcripts(
    texts: Mapping[str, bytes], names: Collection[str], root: Path
) -> dict[str, list[Told]]:
    """Return the files that tell what is said, each with its transcripts.

    A line that names no recording that is there is among them, with an empty name.

    Raises:
        DataError: if one that tells of a recording of its own name is not UTF-8.
    """
    sounds = {stem(name) for name in names if field_of(name) == "audio"}
    bare = Counter(PurePosixPath(sound).name for sound in sounds)
    places = {PurePosixPath(s).name: s for s in sounds if bare[PurePosixPath(s).name] == 1}
    found = {}
    for name, data in texts.items():
        try:
            text = data.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            if stem(name) in sounds:
                where = f"{root}/{name}"
                raise DataError("this transcript is not UTF-8 text.", where=where) from None
            continue
        if stem(name) in sounds:
            found[name] = [Told(name, stem(name), text)]
        elif (place := places.get(PurePosixPath(name).stem)) and text:
            found[name] = [Told(name, place, text)]  # as in VCTK: the same name in another folder
        elif told := _listed(name, data.decode("utf-8-sig"), sounds, places):
            found[name] = told
    return found


def _listed(file: str, text: str, sounds: set[str], places: Mapping[str, str]) -> list[Told]:
    """Return the transcripts of a file whose lines begin with names of recordings.

    They lie beside it, as in LibriSpeech; or elsewhere, as in AISHELL, if it tells half of its
    lines or of the recordings: a line that happens to begin so is no transcript.
    """
    rows = [
        (number, stem(name) if field_of(name) else name, said)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
        for name, _, said in [line.strip().replace("\t", " ", 1).partition(" ")]
    ]
    folder = PurePosixPath(file).parent
    near = [str(folder / name) if str(folder / name) in sounds else "" for _, name, _ in rows]
    far = [places.get(PurePosixPath(name).name, "") for _, name, _ in rows]
    told = [bool(said.strip()) for _, _, said in rows]  # a list of names alone says nothing
    beside = any(place for place, says in zip(near, told, strict=True) if says)
    named = near if beside else far
    found = {place for place, says in zip(named, told, strict=True) if place and says}
    if not found or (not beside and 2 * len(found) < min(len(rows), len(sounds))):
        return []
    return [
        Told(f"{file}:{number}", place, said.strip())
        for (number, _, said), place in zip(rows, named, strict=True)
        if said.strip() or not place  # a recording of which nothing is said is set apart itself
    ]
