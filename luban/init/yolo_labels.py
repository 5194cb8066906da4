"""What the lines of YOLO labels hold: boxes, outlines or poses, as the numbers of all tell."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from luban.core.errors import DataError
from luban.data.files.archives import Tree
from luban.data.sources._yolo_tables import Tables

_SIDES = 4  #: numbers of a box


def lines_of(path: Path) -> dict[str, Any]:
    """Return the field ``lines`` of the source ``yolo`` for a folder or archive.

    It is empty where the source's own rule reads the lines: boxes, or poses that ``kpt_shape``
    describes; and where lines are of several forms, which the source tells of one by one.

    Raises:
        DataError: if all lines are of one form, and it is not clear which.
    """
    tree = Tree(path)
    if Tables(tree, ()).points:
        return {}
    widths = Counter[int]()
    first: dict[int, str] = {}
    for name in tree:
        place = PurePosixPath(name)
        if place.suffix.lower() == ".txt" and "labels" in place.parts[:-1]:
            for number, line in enumerate(tree[name].text().splitlines(), 1):
                if cells := line.split():
                    widths[len(cells) - 1] += 1
                    first.setdefault(len(cells) - 1, f"{tree[name].where}:{number}")
    if not widths or min(widths) <= _SIDES:
        return {}
    even = all(width >= 6 and width % 2 == 0 for width in widths)
    if len(widths) > 1:
        return {"lines": "outlines"} if even else {}  # poses are all of the same number of points
    (width,) = widths
    if not even:
        return {"lines": "poses"} if (width - _SIDES) % 3 == 0 else {}
    told = f"luban init {path} lines="
    raise DataError(
        "it is not clear whether these lines are outlines or poses.",
        where=first[width],
        expected="four numbers after the class; or kpt_shape in data.yaml, for poses",
        got=f"{width} numbers after the class in all {widths[width]:,} lines",
        fix=f"say which: {told}outlines (points x y; so has a box that is turned), or "
        f"{told}poses (a box, then points).",
    )
