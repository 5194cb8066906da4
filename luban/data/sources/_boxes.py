"""What sources of images with boxes share: boxes in pixels, what is dropped, pairs by split."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from luban.core.errors import DataError
from luban.data.members import IMAGES, Tree
from luban.data.split import SPLITS

Box = tuple[float, float, float, float]


@dataclass(slots=True)
class Annotated:
    """An image and what is known of it, before it is read.

    Attributes:
        image: Its name in the tree.
        notes: The name of what describes it; empty: there is nothing.
    """

    image: str
    notes: str = ""


@dataclass(slots=True)
class Dropped:
    """Boxes that no detector can learn from, by why."""

    counts: Counter[str] = field(default_factory=Counter)
    first: str = ""

    def add(self, why: str, where: str) -> None:
        """Count one."""
        self.counts[why] += 1
        self.first = self.first or where

    def facts(self) -> Mapping[str, str]:
        """Return it as a fact of the data; empty if nothing was dropped."""
        if not self.counts:
            return {}
        kinds = ", ".join(f"{times:,} {why}" for why, times in self.counts.most_common())
        return {"dropped boxes": f"{kinds} ({self.first} the first)"}


def box_of(
    corners: tuple[float, float, float, float],
    size: tuple[float, float],
    where: str,
    dropped: Dropped,
) -> list[float] | None:
    """Return a box within its image; None, counted, if it has no area there.

    Args:
        corners: x1, y1, x2, y2 in pixels.
        size: Width and height of the image; 0 if they are not known.
        where: For messages.
        dropped: What counts.

    Raises:
        DataError: if a number is not finite.
    """
    if not all(map(math.isfinite, corners)):
        raise DataError("this box has a number that is not finite.", where=where, got=corners)
    width, height = (side or math.inf for side in size)
    x1, x2 = (float(min(max(x, 0), width)) for x in corners[::2])
    y1, y2 = (float(min(max(y, 0), height)) for y in corners[1::2])
    if x2 <= x1 or y2 <= y1:
        flat = corners[2] <= corners[0] or corners[3] <= corners[1]
        dropped.add("without area" if flat else "outside their image", where)
        return None
    return [x1, y1, x2, y2]


def told_size(size: Sequence[float]) -> Mapping[str, int]:
    """Return width and height as fields of a record, if they are known."""
    names = ("width", "height")
    return {name: int(side) for name, side in zip(names, size, strict=True)} if all(size) else {}


def image_named(tree: Tree, *candidates: str) -> str:
    """Return the first name that an image in the tree has, whatever its suffix; empty: none."""
    for name in candidates:
        if name in tree and PurePosixPath(name).suffix.lower() in IMAGES:
            return name
    for name in candidates:
        path = PurePosixPath(name)
        stem = str(path.with_suffix("")) if path.suffix.lower() in IMAGES else name
        for suffix in IMAGES:
            for found in (stem + suffix, stem + suffix.upper()):
                if found in tree:
                    return found
    return ""


def in_order(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table of splits, train first; without train, all is train."""
    if "train" in found or not found:
        return {split: found[split] for split in SPLITS if split in found}
    return {"train": [pair for split in SPLITS for pair in found.get(split, ())]}


def numbers(texts: Sequence[Any], where: str) -> list[float]:
    """Return texts as numbers.

    Raises:
        DataError: if one is none.
    """
    try:
        return [float(text) for text in texts]
    except (TypeError, ValueError):
        raise DataError("a box needs numbers.", where=where, got=f"{texts}") from None
