"""YOLO: a text file for each image, a line for each object: class, centre and size in shares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import Field

from luban.core.contracts import Record, SetApart
from luban.core.errors import DataError
from luban.data.files.split_names import SPLIT_NAMES
from luban.data.media.images import size_of
from luban.data.sources._boxes import (
    Annotated,
    Dropped,
    Pairs,
    PairSource,
    box_of,
    in_order,
    numbers,
)
from luban.data.sources._yolo_tables import Listed, Tables

_SLACK = 0.01  #: share of the image by which numbers may jut out, by rounding
_FORMS = {
    "boxes": "a class, then x y width height",
    "outlines": "a class, then x y of at least three points",
    "poses": "a class, then x y width height, then x y (visible) of each point",
}


class Yolo(PairSource):
    """A folder, .tar or .zip of YOLO: a record has ``image`` and ``objects``.

    ``images/…/a.jpg`` goes with ``labels/…/a.txt`` (or lies beside it); an image without one
    shows no object. The splits are the places that ``data.yaml`` names, if they are there, else
    folders called train, val and test. Of an outline or a pose the box is taken. Boxes without area
    are dropped and counted; an image with a line of another form is set apart, and so are labels
    without an image.
    """

    names: tuple[str, ...] = Field(
        default=(),
        description="Names of the classes from 0 on; empty: those of data.yaml or classes.txt.",
    )
    lines: Literal["boxes", "outlines", "poses"] | None = Field(
        default=None,
        description=(
            "What a line holds after its class: `boxes` (4 numbers), `outlines` (points; so has a "
            "box that is turned) or `poses` (a box, then points). None: `poses` if data.yaml has "
            "`kpt_shape`, else `boxes`."
        ),
    )

    @cached_property
    def _tables(self) -> Tables:
        return Tables(self._tree, self.names)

    @cached_property
    def _kind(self) -> str:
        return self.lines or ("poses" if self._tables.points else "boxes")

    @cached_property
    def _pairs(self) -> Pairs:
        found: Pairs = defaultdict(list)
        owners: dict[str, list[str]] = defaultdict(list)
        for name in self._images():
            if notes := next((n for n in _beside(PurePosixPath(name)) if n in self._tree), ""):
                owners[notes].append(name)
        if not owners:
            raise DataError(
                "there are no YOLO labels here.",
                where=self.path,
                expected="labels/…/NAME.txt for images/…/NAME.jpg",
            )
        _ = self._tables.classes, self._kind  # what is wrong there is wrong with every record
        labels = {name: notes for notes, names in owners.items() for name in names}
        for split, placed in self._placed():
            if isinstance(placed, SetApart):
                found[split].append(placed)
                continue
            notes = labels.get(placed, "")
            if notes and len(owners[notes]) > 1:
                same = " and ".join(owners[notes])
                error = DataError("several images have these labels.", expected="one", got=same)
                found[split].append(SetApart(error, f"{self._tree[notes].where}: {placed}"))
            else:
                found[split].append(Annotated(placed, notes))
        for notes in self._orphans(owners):
            error = DataError("these labels have no image.", expected="an image of this name")
            found[_split(notes)].append(SetApart(error, self._tree[notes].where))
        return in_order(found)

    def _placed(self) -> Iterator[tuple[str, str | SetApart]]:
        """Yield the split and the name of each image, or what is set apart in its place."""
        if self._listed is None:
            yield from ((_split(name), name) for name in self._images())
            return
        for split, names in self._listed.images.items():
            yield from ((split, name) for name in names)

    @cached_property
    def _listed(self) -> Listed | None:
        return self._tables.listed(self._images())

    def _orphans(self, used: Mapping[str, Any]) -> list[str]:
        """Return label files, told by their folder, that no image goes with."""
        folders = {PurePosixPath(name).parent for name in used}
        own = {*self._tables.files, *(self._listed.files if self._listed else ())}
        found = []
        for name in sorted(self._tree):
            path = PurePosixPath(name)
            inside = "labels" in (part.lower() for part in path.parts[:-1])
            if path.suffix.lower() == ".txt" and (inside or path.parent in folders):
                is_label = inside or _is_label(self._tree[name].media().read())
                if name not in used and name not in own and is_label:
                    found.append(name)
        return found

    def _record(self, pair: Annotated, dropped: Dropped) -> Record:
        image = self._tree[pair.image]
        media = image.media()
        objects: list[dict[str, Any]] = []
        if pair.notes:
            notes, size = self._tree[pair.notes], size_of(media)
            for number, line in enumerate(notes.text().splitlines(), 1):
                if cells := line.split():
                    where = f"{notes.where}:{number}"
                    label, shares = self._object(cells, where)
                    x1, y1, x2, y2 = shares
                    corners = (x1 * size[1], y1 * size[0], x2 * size[1], y2 * size[0])
                    if box := box_of(corners, (size[1], size[0]), where, dropped):
                        objects.append({"label": label, "box": box})
        return {"image": media, "objects": objects, "_where": f"{image.where}:1"}

    def _object(self, cells: Sequence[str], where: str) -> tuple[str, tuple[float, ...]]:
        """Return the class of a line, and x1, y1, x2, y2 in shares.

        Raises:
            DataError: if it is not of the declared form.
        """
        first, *values = numbers(cells, where)
        classes = self._tables.classes
        label = classes.get(int(first)) if first.is_integer() else None
        if label is None:
            raise DataError(
                "there is no class of this number.",
                where=where,
                expected=f"one of the {len(classes)} from {min(classes, default=0)} on",
                got=cells[0],
            )
        if not self._fits(len(values)):
            other = [kind for kind in _FORMS if self.replace(lines=kind)._fits(len(values))]
            raise DataError(
                f"this line does not hold what data.source.lines says: {self._kind}.",
                where=where,
                expected=_FORMS[self._kind],
                got=" ".join(cells),
                fix=" or ".join(f"set data.source.lines: {kind}" for kind in other)
                + " if these are such." * bool(other),
            )
        box = values if self._kind == "outlines" else values[:4]
        if not all(-_SLACK <= value <= 1 + _SLACK for value in box):
            raise DataError(
                "these numbers are no shares of the image.",
                where=where,
                expected="0 to 1",
                got=" ".join(cells),
                fix="divide pixels by the width and height of the image.",
            )
        return label, _corners(box, outline=self._kind == "outlines")

    def _fits(self, count: int) -> bool:
        """Return whether a line has as many numbers after its class as its form wants."""
        if self._kind == "boxes":
            return count == 4
        if self._kind == "outlines":
            return count >= 6 and count % 2 == 0
        if points := self._tables.points:
            return count == 4 + points
        return count > 4 and 0 in ((count - 4) % 2, (count - 4) % 3)

    def _others(self) -> Sequence[str]:
        return [*self._tables.files, *(self._listed.files if self._listed else ())]

    def _left_out(self) -> Mapping[str, Sequence[str]]:
        if self._listed is None:
            return {}
        used = {name for names in self._listed.images.values() for name in names}
        return {
            "images in no split of data.yaml": [n for n in self._images() if n not in used],
            "splits of data.yaml that are not here": self._listed.missing,
        }


def _beside(path: PurePosixPath) -> Iterator[str]:
    """Yield where the labels of an image may lie."""
    parts = list(path.with_suffix(".txt").parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place].lower() == "images":
            yield "/".join([*parts[:place], "labels", *parts[place + 1 :]])
    yield "/".join(parts)


def _split(name: str) -> str:
    folders = [part.lower() for part in PurePosixPath(name).parts[:-1]]
    return next((SPLIT_NAMES[part] for part in folders if part in SPLIT_NAMES), "train")


def _is_label(data: bytes) -> bool:
    """Return whether a text file that lies beside images has lines of a class and numbers."""
    rows = [line.split() for line in data.splitlines() if line.strip()]
    plain = all(cell.replace(b".", b"", 1).isdigit() for row in rows for cell in row)
    return plain and all(len(row) > 4 for row in rows) and bool(rows)


def _corners(values: Sequence[float], *, outline: bool) -> tuple[float, ...]:
    if outline:
        return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
    x, y, width, height = values
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
