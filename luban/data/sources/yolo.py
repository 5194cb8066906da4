"""YOLO: a text file for each image, a line for each object: class, centre and size in shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from pydantic import Field

from luban.core.contracts import Record, Source
from luban.core.errors import DataError, UnreadableError
from luban.data.images import size_of
from luban.data.media import Media
from luban.data.members import IMAGES, Tree
from luban.data.sources._boxes import Annotated, Dropped, box_of, in_order, numbers
from luban.data.sources._files import SPLIT_NAMES

_NAMES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names")


class Yolo(Source):
    """A folder, .tar or .zip of YOLO: a record has ``image`` and ``objects``.

    ``images/…/a.jpg`` goes with ``labels/…/a.txt`` (or lies beside it); an image without one
    shows no object. Folders called train, val and test are the splits. A line with more than
    five numbers is an outline: its box is taken. Boxes without area are dropped and counted.
    """

    path: str = Field(description="The folder or archive.")
    names: tuple[str, ...] = Field(
        default=(),
        description="Names of the classes from 0 on; empty: those of data.yaml or classes.txt.",
    )

    def splits(self) -> tuple[str, ...]:
        """Return the splits that folders are called."""
        return tuple(self._pairs)

    def read(self, split: str) -> Iterator[Record]:
        """Yield the images of a split.

        Raises:
            DataError: if a line is not YOLO's or its class has no name.
        """
        for pair in self._pairs[split]:
            yield self._record(pair, Dropped())

    def files(self) -> tuple[Path, ...]:
        """Return the files of all splits."""
        pairs = [pair for found in self._pairs.values() for pair in found]
        names = [name for pair in pairs for name in (pair.image, pair.notes) if name]
        return self._tree.files(dict.fromkeys([*names, *self._naming]))

    def facts(self) -> Mapping[str, str]:
        """Return which boxes were dropped, if any were."""
        dropped = Dropped()
        for pairs in self._pairs.values():
            for pair in pairs:
                self._record(pair, dropped)
        return dropped.facts()

    @cached_property
    def _tree(self) -> Tree:
        return Tree(Path(self.path).expanduser())

    @cached_property
    def _naming(self) -> list[str]:
        """The file that names the classes, if there is one."""
        found = [n for name in _NAMES for n in self._tree if PurePosixPath(n).name == name]
        return [] if self.names else found[:1]

    @cached_property
    def _classes(self) -> dict[int, str]:
        if self.names:
            return dict(enumerate(self.names))
        if not self._naming:
            raise DataError(
                "nothing names the classes.",
                where=self.path,
                expected=", ".join(_NAMES),
                fix="set data.source.names: [first, second, …].",
            )
        file = self._tree[self._naming[0]]
        names: Any = [line.strip() for line in file.text().splitlines() if line.strip()]
        if file.name.endswith(".yaml"):
            try:
                table = yaml.safe_load(file.text())
            except yaml.YAMLError as error:
                raise DataError(f"this file is not YAML ({error}).", where=file.where) from None
            names = table.get("names") if isinstance(table, dict) else None
        if isinstance(names, list):
            names = dict(enumerate(names))
        if not isinstance(names, dict) or not all(isinstance(key, int) for key in names):
            raise DataError("this file does not name the classes.", where=file.where, got=names)
        return {key: str(name) for key, name in names.items()}

    @cached_property
    def _pairs(self) -> dict[str, list[Annotated]]:
        found: dict[str, list[Annotated]] = {}
        for name in sorted(self._tree):
            path = PurePosixPath(name)
            if path.suffix.lower() not in IMAGES:
                continue
            folders = [part.lower() for part in path.parts[:-1]]
            split = next((SPLIT_NAMES[part] for part in folders if part in SPLIT_NAMES), "train")
            notes = next((n for n in _beside(path) if n in self._tree), "")
            found.setdefault(split, []).append(Annotated(name, notes))
        if not any(pair.notes for pairs in found.values() for pair in pairs):
            raise DataError(
                "there are no YOLO labels here.",
                where=self.path,
                expected="labels/…/NAME.txt for images/…/NAME.jpg",
            )
        return in_order(found)

    def _record(self, pair: Annotated, dropped: Dropped) -> Record:
        image = self._tree[pair.image]
        media = image.media()
        objects = self._objects(pair, media, dropped) if pair.notes else []
        return {"image": media, "objects": objects, "_where": f"{image.where}:1"}

    def _objects(self, pair: Annotated, media: Media, dropped: Dropped) -> list[dict[str, Any]]:
        notes = self._tree[pair.notes]
        lines = [(n, line.split()) for n, line in enumerate(notes.text().splitlines(), 1)]
        try:
            height, width = size_of(media)
        except UnreadableError:
            return []  # Preparing sets such an image apart, by name.
        found = []
        for number, cells in lines:
            where = f"{notes.where}:{number}"
            if not cells:
                continue
            values = numbers(cells, where)
            label = self._classes.get(int(values[0])) if values[0].is_integer() else None
            if label is None or len(values) < 5 or len(values) % 2 == 0:
                raise DataError(
                    "this line is not YOLO's.",
                    where=where,
                    expected=f"a class of {len(self._classes)}, then x y width height (shares)",
                    got=" ".join(cells),
                )
            x1, y1, x2, y2 = _corners(values[1:])
            corners = (x1 * width, y1 * height, x2 * width, y2 * height)
            if box := box_of(corners, (width, height), where, dropped):
                found.append({"label": label, "box": box})
        return found


def _beside(path: PurePosixPath) -> Iterator[str]:
    """Yield where the labels of an image may lie."""
    parts = list(path.with_suffix(".txt").parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place].lower() == "images":
            yield "/".join([*parts[:place], "labels", *parts[place + 1 :]])
    yield "/".join(parts)


def _corners(values: list[float]) -> tuple[float, float, float, float]:
    if len(values) == 4:
        x, y, width, height = values
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
