"""Files that tell of images or recordings, though no source reads them: they are asked about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from luban.core.errors import DataError
from luban.core.yaml_json import json_of
from luban.data.files.archives import field_of, is_archive
from luban.data.files.reading import is_about, open_bytes
from luban.data.sources._roots import roots_of

_LOOKED = 1 << 20  #: bytes of a file in which names are looked for
_MENTIONED = 2  #: names that a file must hold to tell of files
_STRAY = 0.05  #: share of the images that may lie beside the folders of labels


def refuse_unread(folder: Path, media: Sequence[str]) -> None:
    """Refuse a folder in which files tell of the images or recordings that nothing reads.

    Args:
        folder: Where all lies.
        media: Names of images and recordings below it.

    Raises:
        DataError: naming the first such file, and forms that are read.
    """
    used = {path for root in roots_of(str(folder)) for path in root.files}
    names = {PurePosixPath(name).name: name for name in media}
    stems = {PurePosixPath(name).stem: name for name in media}
    files = "images" if field_of(media[0]) == "image" else "recordings"
    for path in sorted(folder.rglob("*")):
        about = is_about(path.name)
        if not path.is_file() or field_of(path.name) or is_archive(path) or about:
            continue
        labelme = path.suffix == ".json" and path.stem in stems and _is_labelme(path)
        if path in used and not labelme:
            continue
        found = stems.get(path.stem) or _mentioned(path, names, stems)
        if labelme or found:
            kind = "LabelMe's annotations" if labelme else f"what this file tells of the {files}"
            raise DataError(
                f"no source reads {kind}.",
                where=path,
                expected="a folder for each label; a table (CSV, JSON Lines) beside the files that "
                "names each with its label; COCO, Pascal VOC or YOLO for boxes; a .txt of the same "
                "name, or a table, for what is said",
                got=f"a note on {found or path.stem}",
                fix="write one of these; or move the file away, if the names and folders tell all.",
            )


def refuse_strays(folder: Path, media: Sequence[str]) -> None:
    """Refuse folders that look like labels with a few files beside them.

    Raises:
        DataError: naming the first of these.
    """
    top = [name for name in media if "/" not in name]
    folders = {PurePosixPath(name).parts[0] for name in media if "/" in name}
    if top and len(folders) > 1 and len(top) <= max(1, _STRAY * len(media)):
        raise DataError(
            "a few files lie beside the folders: are these folders labels?",
            where=folder / top[0],
            expected="every file in the folder of its label",
            got=f"{len(top):,} beside {', '.join(sorted(folders)[:5])}",
            fix="move them away, or into the folder of their label.",
        )


def refuse_two_readings(folder: Path, media: Sequence[str]) -> None:
    """Refuse files whose folders could be labels where their names tell two things or more.

    Raises:
        DataError: showing a name, and how a pattern is given.
    """
    paths = [PurePosixPath(name) for name in media]
    for mark in "-_":
        rows = [(path.parent.name, *path.stem.split(mark)) for path in paths]
        width = len(rows[0])
        if width < 4 or any(len(row) != width for row in rows):
            continue
        labels = len({row[0] for row in rows})
        told = [
            place
            for place in range(1, width)
            if 2 <= len({row[place] for row in rows}) <= len(rows) // 4
            and len({(row[0], row[place]) for row in rows}) > labels
        ]
        if labels > 1 and len(told) > 1:
            holes = [f"{{part{place}}}" for place in range(1, width)]
            holes[told[0] - 1] = "{label}"
            pattern = mark.join(holes) + paths[0].suffix
            raise DataError(
                "it is not clear what the label is: the folder, or a part of the name.",
                where=folder / media[0],
                expected=f"a pattern such as pattern={pattern}",
                got=f"folders {', '.join(sorted({row[0] for row in rows})[:4])} …; in the names "
                f"{len(told)} parts of few values each",
                fix=f"say which: luban init {folder} pattern='{pattern}', with {{label}} where it "
                "stands; or pattern='{label}/{name}" + paths[0].suffix + "' for the folder.",
            )


def _mentioned(path: Path, names: dict[str, str], stems: dict[str, str]) -> str:
    """Return the first image or recording that a text file names, if it names several."""
    with open_bytes(path) as file:
        data = file.read(_LOOKED)
    if b"\0" in data:
        return ""
    text = data.decode("utf-8", "replace")
    for mark in ",;:\"'()[]{}|":
        text = text.replace(mark, " ")
    words = [PurePosixPath(word).name for word in text.split()]
    found = [word for word in words if word in names or (len(word) > 3 and word in stems)]
    if len({*found}) < min(_MENTIONED, len(names)):
        return ""
    return names.get(found[0]) or stems[found[0]]


def _is_labelme(path: Path) -> bool:
    try:
        found: Any = json_of(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("shapes"), list)
