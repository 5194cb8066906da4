"""What text files tell of the recordings in a folder or archive: transcripts, and splits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from luban.core.errors import DataError
from luban.data.members import field_of
from luban.data.sources._files import SPLIT_NAMES

_LIST = re.compile(r"(train|training|valid|validation|test|testing)_list")


def stem(name: str) -> str:
    """Return a name without its suffix."""
    return str(PurePosixPath(name).with_suffix(""))


def listed_splits(texts: Mapping[str, bytes], names: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the files that list names, as ``testing_list.txt`` does in Speech Commands.

    Each with the split of every name in it.
    """
    known, found = set(names), {}
    for name, data in texts.items():
        folder, match = PurePosixPath(name).parent, _LIST.fullmatch(PurePosixPath(name).stem)
        lines = data.decode("utf-8", "replace").split("\n") if match else ()
        files = [str(folder / line.strip()) for line in lines if line.strip()]
        if match and not known.isdisjoint(files):
            found[name] = dict.fromkeys(files, SPLIT_NAMES[match[1]])
    return found


def transcripts(
    texts: Mapping[str, bytes], names: Collection[str], root: Path
) -> dict[str, dict[str, str]]:
    """Return the files that tell what is said, each with transcripts by name without suffix.

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
            found[name] = {stem(name): text}
        elif (place := places.get(PurePosixPath(name).stem)) and text:
            found[name] = {place: text}  # as in VCTK: the same name in another folder
        elif told := _listed(PurePosixPath(name).parent, text, sounds, places):
            found[name] = told
    return found


def _listed(
    folder: PurePosixPath, text: str, sounds: set[str], places: Mapping[str, str]
) -> dict[str, str]:
    """Return the transcripts of a file whose lines begin with names of recordings.

    They lie beside it, as in LibriSpeech; or elsewhere, as in AISHELL, if it tells half of its
    lines or of the recordings: a line that happens to begin so is no transcript.
    """
    rows = [row for line in text.split("\n") if len(row := line.split(maxsplit=1)) == 2]
    told = {stem(name) if field_of(name) else name: said.strip() for name, said in rows}
    beside = {str(folder / name): said for name, said in told.items()}
    if found := {sound: said for sound, said in beside.items() if sound in sounds}:
        return found
    named = ((places.get(PurePosixPath(name).name), said) for name, said in told.items())
    found = {place: said for place, said in named if place}
    return found if 2 * len(found) >= min(len(rows), len(sounds)) else {}
