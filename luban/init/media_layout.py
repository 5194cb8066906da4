"""Which form data of images and recordings have: told by how they lie and by their names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from glob import glob
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from luban.core.errors import DataError
from luban.core.yaml_json import parse_json
from luban.data.files.archives import SOUNDS, Member, field_of, is_archive, members
from luban.data.files.reading import open_text
from luban.data.files.split_names import SPLIT_NAMES, SPLITS, by_split
from luban.init.unread_media import refuse_strays, refuse_two_readings, refuse_unread
from luban.init.unsupported_formats import refuse_foreign

Layout = tuple[dict[str, Any], tuple[Path, ...]]

_IDX = re.compile(r"(?P<stem>.+)[-._]idx(?P<sides>[13])[-._]ubyte(\.gz)?")
_IDX_TEST = "t10k"  #: what the test files of MNIST and its kin begin with
_LOOKED = 5_000  #: names in an archive or folder by which its form is told
_NAMED = 500  #: names by which a pattern is found
_CLASSES = 4  #: records a class must have on average, to be told as one
_FOREIGN = (".m4a", ".aac", ".wma", ".amr")
_COCO = ("images", "annotations", "categories")


def media_layout(path: Path) -> Layout | None:
    """Return the source for a path that holds images, recordings or arrays, and its files.

    None if it holds none: then the data are text.
    """
    refuse_foreign(path)
    if not path.exists():
        if layout := _idx(path):
            return layout
        found = tuple(Path(file) for file in sorted(glob(str(path), recursive=True)))
        media = found and all(field_of(f.name) or is_archive(f) for f in found)
        return ({"name": "files", "path": str(path)}, found) if media else None
    for find in (_idx, _arrays, _coco, _loose):
        if layout := find(path):
            return layout
    return None


def pattern_of(names: Sequence[str]) -> str:
    """Return a pattern that fits names such as ``7_theo_3.wav``: its first class is the label.

    Empty if the names do not fall into as many parts each, or tell no class.
    """
    stems = [PurePosixPath(name).stem for name in names]
    suffixes = {PurePosixPath(name).suffix for name in names}
    for separator in ("_", "-", ".", " "):
        rows = [stem.split(separator) for stem in stems]
        width = len(rows[0]) if rows else 0
        if width < 2 or len(suffixes) > 1 or any(len(r) != width or "" in r for r in rows):
            continue
        kinds = [len({row[place] for row in rows}) for place in range(width)]
        classes = [p for p, kind in enumerate(kinds) if 2 <= kind <= len(rows) // _CLASSES]
        if classes:
            holes = [f"{{part{place + 1}}}" for place in range(width)]
            holes[classes[0]] = "{label}"
            return separator.join(holes) + suffixes.pop()
    return _numbered(stems, suffixes)


def _numbered(stems: Sequence[str], suffixes: set[str]) -> str:
    """Return a pattern of labels of one word and of several: ``Abyssinian_1``, ``pug_dog_1``."""
    found = [re.fullmatch(r"(.+?)([_\-. ])\d+", stem) for stem in stems]
    kinds = {match[1] for match in found if match}
    marks = {match[2] for match in found if match}
    if not all(found) or len(marks) != 1 or len(suffixes) != 1:
        return ""
    fits = 2 <= len(kinds) <= len(stems) // _CLASSES
    return f"{{label}}{marks.pop()}{{number}}{suffixes.copy().pop()}" if fits else ""


def _idx(path: Path) -> Layout | None:
    """Find the pairs of IDX files in a folder or of a glob.

    Raises:
        DataError: if there are several sets of them.
    """
    if path.is_file():
        return None
    files = sorted(path.iterdir()) if path.is_dir() else list(map(Path, sorted(glob(str(path)))))
    found: dict[str, dict[str, list[Path]]] = {}
    for file in files:
        if match := _IDX.fullmatch(file.name.lower()):
            field = "image" if match["sides"] == "3" else "label"
            table = found.setdefault(_split(match["stem"]), {})
            table.setdefault(field, []).append(file)
    found = {split: found[split] for split in SPLITS if "image" in found.get(split, {})}
    several = [p for table in found.values() for p in table["image"] if len(table["image"]) > 1]
    if several:
        names = [file.name for file in several]
        shown = re.split(r"[-_.](?:train|test|images)", names[0])[0]
        raise DataError(
            "there are several sets here.",
            where=path,
            expected="one file of images, and one of labels, for each split",
            got=", ".join(names),
            fix=f"name one of them, as in: luban init '{several[0].parent}/{shown}*'.",
        )
    if not found:
        return None
    tables = {s: {f: str(v[0]) for f, v in sorted(t.items())} for s, t in found.items()}
    listed = tuple(Path(file) for side in tables.values() for file in side.values())
    alone = len(tables) == 1 or "train" not in tables
    return {"name": "idx", "path": next(iter(tables.values())) if alone else tables}, listed


def _arrays(path: Path) -> Layout | None:
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if len(files) != 1 or files[0].suffix not in (".npz", ".npy"):
        return None
    return {"name": "arrays", "path": str(files[0])}, tuple(files)


def _coco(path: Path) -> Layout | None:
    """Find COCO files, one or one for each split, and where their images lie."""
    files = [path]
    if path.is_dir():
        files = sorted({*path.glob("*.json"), *path.glob("annotations/*.json")})
    found = {file: first for file in files if (first := _coco_image(file))}
    images = {file: _folder_of(file, first) for file, first in found.items()}
    by_split = {_split(file.stem): file for file in images}
    if not images or any(folder is None for folder in images.values()):
        return None
    if len(images) == 1:
        by_split = {"": next(iter(images))}
    elif "train" not in by_split or len(by_split) < len(images):
        return None
    places = {split: str(images[by_split[split]]) for split in ("", *SPLITS) if split in by_split}
    paths = {split: str(by_split[split]) for split in places}
    one = len({*places.values()}) == 1
    source = {
        "name": "coco",
        "path": paths.get("", paths),
        "images": next(iter(places.values())) if one else places,
    }
    return source, tuple(map(Path, paths.values()))


def _coco_image(path: Path) -> str:
    """Return the name of the first image of a COCO file with boxes; empty: it is none."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return ""
    with open_text(path) as file:
        text = file.read()
    try:
        data = parse_json(text, path)
    except DataError:
        return ""
    if not isinstance(data, dict) or not all(isinstance(data.get(p), list) for p in _COCO):
        return ""
    first: Any = next(iter(data["images"]), {})
    return str(first.get("file_name", "")) if isinstance(first, dict) else ""


def _folder_of(file: Path, image: str) -> Path | None:
    """Return the folder near a file in which the name of an image begins."""
    for near in (file.parent, file.parent.parent):
        folders = [near, *sorted(f for f in near.iterdir() if f.is_dir())]
        folders += [f for folder in folders[1:] for f in sorted(folder.iterdir()) if f.is_dir()]
        for folder in folders:
            if (folder / image).is_file():
                return folder
    return None


def _loose(path: Path) -> Layout | None:
    """Find images or recordings in a folder or archive, and what tells of them."""
    if path.is_file() and not is_archive(path):
        return ({"name": "files", "path": str(path)}, (path,)) if field_of(path.name) else None
    inside = _archives(path)
    if len(inside) == 1 and not any(map(_is_media, members(path))):
        return _loose(inside[0])
    if table := by_split(path, inside) if not any(map(_is_media, members(path))) else None:
        return {"name": "files", "path": table}, tuple(inside)
    names = list(islice(_names(path), _LOOKED))
    media = [name for name in names if field_of(name)]
    if not media:
        _refuse_foreign(path, names)
        return None
    stems = {str(PurePosixPath(name).with_suffix("")) for name in media}
    notes = [PurePosixPath(name) for name in names if not field_of(name)]
    xml = [note for note in notes if note.suffix.lower() == ".xml"]
    bare = {PurePosixPath(stem).name for stem in stems}
    form = _form_of(notes, xml, stems)
    source: dict[str, Any] = {"name": form, "path": str(path)}
    pattern = _pattern(media, notes) if form == "files" else ""
    if form == "files" and any(note.stem in bare for note in xml):
        raise _boxes_or_names(path, xml, media)
    if pattern:
        source["pattern"] = pattern
    return source, (path,) if path.is_file() else tuple(f for f in path.rglob("*") if f.is_file())


def _form_of(
    notes: Sequence[PurePosixPath], xml: Sequence[PurePosixPath], stems: Collection[str]
) -> str:
    """Return the source that reads images with what lies beside them."""
    named = any(note.parent.name.lower() == "annotations" for note in xml)
    if named or any(str(note.with_suffix("")) in stems for note in xml):
        return "voc"
    if any(note.suffix == ".txt" and "labels" in note.parts[:-1] for note in notes):
        return "yolo"
    return "files"


def refuse_untold(folder: Path, source: Mapping[str, Any]) -> None:
    """Refuse a folder of images or recordings of which more is told than its source reads.

    Raises:
        DataError: as ``media_notes`` do.
    """
    names = list(islice(_names(folder), _LOOKED))
    media = [name for name in names if field_of(name)]
    if source["name"] != "files" or not media or _archives(folder):
        return
    refuse_strays(folder, media)
    refuse_unread(folder, media)
    if "pattern" not in source and not any(name.lower().endswith(".txt") for name in names):
        refuse_two_readings(folder, media)


def _boxes_or_names(path: Path, notes: Sequence[PurePosixPath], media: Sequence[str]) -> DataError:
    """Return the error for descriptions (XML) that lie far from their images."""
    folder = path / PurePosixPath(media[0]).parent
    pattern = pattern_of([PurePosixPath(name).name for name in media])
    images = f"luban init {folder}" + (f" pattern='{pattern}'" if pattern else "")
    return DataError(
        "there are images, and descriptions of them (XML) in a place where no source looks.",
        where=path / str(notes[0]),
        expected="one of\n    --task object-detection: Annotations/*.xml beside JPEGImages/\n"
        "    --task image-classification: labels by folders, or by a pattern of the names",
        got=f"{len(media):,} images, {len(notes):,} descriptions",
        fix=f"for labels by names: {images}, with pattern={{label}}_{{number}}.jpg where it is; "
        "for boxes: move the descriptions to Annotations and the images to JPEGImages.",
    )


def _names(path: Path) -> Iterator[str]:
    """Yield names in a folder, those in its archives too, or in an archive."""
    for member in members(path):
        yield member.name
    for file in _archives(path):
        yield from (member.name for member in members(file))


def _is_media(member: Member) -> bool:
    return field_of(member.name) is not None


def _archives(path: Path) -> list[Path]:
    inside = sorted(path.iterdir()) if path.is_dir() else []
    return [file for file in inside if file.is_file() and is_archive(file)]


def _pattern(media: Sequence[str], notes: Sequence[PurePosixPath]) -> str:
    """Return a pattern for the names, where neither folders nor other files tell of them."""
    folders = {PurePosixPath(name).parent for name in media}
    told = any(note.name.startswith("metadata.") for note in notes)
    told |= any(note.suffix == ".cls" for note in notes)
    texts = {note.with_suffix("") for note in notes if note.suffix == ".txt"}
    sounds = [PurePosixPath(name) for name in media if name.lower().endswith(SOUNDS)]
    told |= any(sound.with_suffix("") in texts for sound in sounds)
    if told or len(folders) > 1:
        return ""
    stride = max(1, len(media) // _NAMED)
    pattern = pattern_of(media[::stride])
    return pattern if pattern and pattern == pattern_of(media) else ""


def _refuse_foreign(path: Path, names: Sequence[str]) -> None:
    """Refuse recordings as telephones write them: no library that is used here reads them."""
    foreign = [name for name in names if name.lower().endswith(_FOREIGN)]
    if 2 * len(foreign) > len(names):
        raise DataError(
            "recordings of this form cannot be read.",
            where=path,
            expected="WAV, FLAC, OGG or MP3",
            got=foreign[0],
            fix="convert them: ffmpeg -i IN.m4a OUT.wav, one by one.",
        )


def _split(stem: str) -> str:
    words = re.findall(r"[a-z]+\d*[a-z]*", stem.lower())
    found = {SPLIT_NAMES.get(re.sub(r"\d+$", "", word), "") for word in words}
    found |= {"test"} if _IDX_TEST in words else set()
    return next((split for split in SPLITS if split in found), "train")
