"""A COCO file as it is kept in memory: its images, and of its annotations what is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from sys import getsizeof
from typing import Any, TypeAlias

from luban.core.errors import DataError
from luban.core.yaml_json import parse_json
from luban.data.files.parsed_cache import Recent
from luban.data.files.reading import missing, open_text
from luban.data.sources._boxes import numbers, refuse_twice

Id: TypeAlias = int | str
_PARTS = ("images", "annotations", "categories")
_KEPT = 1 << 28  #: bytes of parsed files that are kept


@dataclass(frozen=True, slots=True)
class Note:
    """An annotation.

    Attributes:
        id: What it is called in messages.
        label: The name of its category.
        corners: x1, y1, x2, y2 in pixels.
        crowd: Whether it stands for a group of objects.
    """

    id: Any
    label: str
    corners: tuple[float, float, float, float]
    crowd: bool


@dataclass(slots=True)
class Image:
    """An image, and what is seen in it.

    Attributes:
        id: Its id in the file.
        name: Its file.
        size: Width and height as they are told; 0: they are not.
        notes: Its annotations.
        wrong: What is wrong with it or with one of them, if anything is.
    """

    id: Id
    name: str
    size: tuple[float, float]
    notes: list[Note] = field(default_factory=list)
    wrong: DataError | None = None


def coco_images(path: Path) -> list[Image]:
    """Return the images of a COCO file; it is parsed once while it stays as it is.

    Raises:
        DataError: if it is no COCO file, an id stands twice, or a box belongs to no image.
    """
    if not path.is_file():
        raise missing(path)
    return _recent.get(path, lambda: _images(path))


_recent: Recent[list[Image]] = Recent(_KEPT)


def _images(path: Path) -> tuple[list[Image], int]:
    data = _parsed(path)
    labels = _categories(data["categories"], path)
    images: dict[Id, Image] = {}
    rows: dict[Id, Mapping[str, Any]] = {}
    ids, names = dict[Any, str](), dict[Any, str]()
    for number, row in enumerate(data["images"], 1):
        place, where = f"image {number}", f"{path}: image {number}"
        key = _id(row, "id", where)
        if rows.get(key) == row:
            continue  # word for word the same, as where files were joined: one image
        refuse_twice(ids, key, f"the image id {key!r}", place, path)
        rows[key] = row
        images[key] = _image(row, key, where)
        if name := images[key].name:
            refuse_twice(names, name, f"the image {name!r}", place, path)
    seen = dict[Any, Mapping[str, Any]]()
    size = 0
    for number, row in enumerate(data["annotations"], 1):
        told = row.get("id", f"number {number}")
        where = f"{path}: annotation {told}"
        if isinstance(told, int | str):
            if seen.get(told) == row:
                continue
            seen[told] = row
        image = images.get(_id(row, "image_id", where))
        if image is None:
            raise DataError(
                "this box belongs to an image that is not listed.",
                where=where,
                got=f"image_id {row['image_id']!r}",
                fix="list the image, or remove its annotations.",
            )
        try:
            image.notes.append(_note(row, told, labels, where))
        except DataError as error:
            image.wrong = image.wrong or error
        size += 400
    return list(images.values()), size + sum(200 + getsizeof(i.name) for i in images.values())


def _parsed(path: Path) -> dict[str, list[dict[str, Any]]]:
    with open_text(path) as file:
        fix = "write it again, or fetch it again if it was cut off."
        data = parse_json(file.read(), path, fix=fix)
    for part in _PARTS:
        rows = data.get(part) if isinstance(data, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(
                f"this COCO file has no {part}.",
                where=path,
                expected="tables in images, annotations and categories",
            )
    return {part: data[part] for part in _PARTS}


def _categories(rows: list[dict[str, Any]], path: Path) -> dict[Id, str]:
    """Return the names of the categories by id.

    Raises:
        DataError: if an id or a name stands twice.
    """
    ids, names, found = dict[Any, str](), dict[Any, str](), dict[Id, str]()
    for number, row in enumerate(rows, 1):
        place, where = f"category {number}", f"{path}: category {number}"
        key, name = _id(row, "id", where), row.get("name")
        if not isinstance(name, str) or not name.strip():
            raise DataError("a category has no name.", where=where, got=row)
        if found.get(key) == name:
            continue
        refuse_twice(ids, key, f"the category id {key!r}", place, path)
        refuse_twice(names, name, f"the category {name!r}", place, path)
        found[key] = name
    return found


def _image(row: Mapping[str, Any], key: Id, where: str) -> Image:
    name = row.get("file_name")
    if not isinstance(name, str) or not name:
        wrong = DataError("an image has no file_name.", where=where, got=dict(row))
        return Image(key, "", (0, 0), wrong=wrong)
    try:
        width, height = numbers([row.get("width") or 0, row.get("height") or 0], where)
    except DataError as error:
        return Image(key, name, (0, 0), wrong=error)
    return Image(key, name, (width, height))


def _note(row: Mapping[str, Any], told: Any, labels: Mapping[Id, str], where: str) -> Note:
    category = row.get("category_id")
    if not isinstance(category, int | str) or category not in labels:
        raise DataError("there is no such category.", where=where, got=category)
    box = row.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise DataError(
            "this annotation has no box.", where=where, expected="[x, y, width, height]", got=box
        )
    x, y, width, height = numbers(box, where)
    return Note(told, labels[category], (x, y, x + width, y + height), bool(row.get("iscrowd")))


def _id(row: Mapping[str, Any], name: str, where: str) -> Id:
    key = row.get(name)
    if not isinstance(key, int | str) or isinstance(key, bool):
        raise DataError(f"{name} is no number and no text.", where=where, got=key)
    return key
