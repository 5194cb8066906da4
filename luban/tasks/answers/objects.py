"""Objects in images: read from records, moved between the image and what a model sees, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from luban.core.contracts import Record
from luban.core.errors import DataError, UnfitError
from luban.core.positions import positions
from luban.data.files.records import unusable
from luban.data.media.images import Placement
from luban.tasks.answers.labels import label_of
from luban.tasks.parts.unknown_labels import unknown_label

Array: TypeAlias = "np.ndarray[Any, Any]"

#: Pixels by which a box may jut out of its image: annotations count from 0, from 1 or round up.
SLACK = 1.0
#: Fields that say of an object that it is neither learned nor to be found: a box around a group,
#: and what is difficult to see. What is found there is neither right nor wrong.
MARKS = ("crowd", "difficult")
_COLOURS = ("#e6194b", "#4363d8", "#3cb44b", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")


def objects_of(record: Record) -> tuple[list[str], Array, Array]:
    """Return the labels of a record's objects, boxes, float64 (N, 4), and marks, uint8 (N,).

    A mark is 0 for an object to find, else a place in ``MARKS``, counted from 1.

    Raises:
        DataError: if they are not written as they should be, or a box is empty.
    """
    objects = record.get("objects")
    if not isinstance(objects, Sequence) or isinstance(objects, str):
        raise unusable(record, "objects", "that is a list of {label, box} (it may be empty)")
    labels, boxes, crowds = [], [], []
    for one in objects:
        name = label_of(one.get("label")) if isinstance(one, Mapping) else None
        if name is None:
            raise _wrong(record, "an object has no label.", one)
        box = one.get("box")
        numbers = isinstance(box, Sequence) and not isinstance(box, str) and len(box) == 4
        if not numbers or not all(type(value) in (int, float) for value in box):
            raise _wrong(record, "the box of an object is not four numbers.", one)
        x1, y1, x2, y2 = box
        if not np.isfinite(box).all() or x2 <= x1 or y2 <= y1:
            raise DataError(
                f"a box of {name!r} has no area.",
                where=str(record.get("_where", "")),
                expected="[x1, y1, x2, y2] with x1 < x2 and y1 < y2",
                got=list(box),
                fix="mend it, or let the cleaner drop such boxes: data.cleaners: [boxes].",
            )
        marks = [one.get(mark, False) for mark in MARKS]
        if not all(isinstance(mark, bool) for mark in marks):
            raise _wrong(record, f"{' and '.join(MARKS)} are true or false.", one)
        labels.append(name)
        boxes.append(box)
        crowds.append(marks.index(True) + 1 if any(marks) else 0)
    return labels, np.array(boxes, np.float64).reshape(-1, 4), np.array(crowds, np.uint8)


def check_upright(record: Record, size: tuple[int, int]) -> None:
    """Set apart what was annotated at another size: ``width`` and ``height`` of the record tell.

    Whether boxes are to be scaled, or the image was cut, cannot be known. If the sides are swapped,
    it was annotated lying on its side: a camera stores a photograph as the sensor lay, and notes
    how to turn it (EXIF); boxes in pixels of the one are wrong in the other.

    Args:
        record: It may tell ``width`` and ``height``, those of the image that has the boxes.
        size: Height and width of the upright image.

    Raises:
        UnfitError: if they are others.
    """
    height, width = size
    told, sides = (record.get("width"), record.get("height")), (width, height)
    if all(one in (None, 0, side) for one, side in zip(told, sides, strict=True)):
        return
    lying = told == (height, width)
    raise UnfitError(
        "its boxes are for the image lying on its side."
        if lying
        else "its boxes are for an image of another size.",
        where=str(record.get("_where", "")),
        expected=f"{width} x {height} pixels, those of the {'upright image' if lying else 'file'}",
        got=f"{told[0]} x {told[1]} in the annotation, {width} x {height} in the file",
        fix="remove the note that turns it (exiftool -Orientation= FILE); or, if it was "
        "annotated upright, swap width and height in the annotation."
        if lying
        else "annotate the file as it is, or correct width and height if only they are wrong.",
    )


def inside(record: Record, boxes: Array, size: tuple[int, int]) -> Array:
    """Return boxes cut at the edge of an image of (height, width); they lie inside but for SLACK.

    Raises:
        UnfitError: if one juts out further.
    """
    height, width = size
    edges = np.array([width, height, width, height])
    for box in boxes:
        if (box < -SLACK).any() or (box > edges + SLACK).any():
            raise UnfitError(
                "a box lies outside its image.",
                where=str(record.get("_where", "")),
                expected=f"0 to {width} across and 0 to {height} down, in pixels of the image",
                got=[round(value, 2) for value in box.tolist()],
                fix="mend it, drop the row, or check whether boxes are in other units.",
            )
    return boxes.clip(0, edges)


def numbered(record: Record, labels: Sequence[str], names: Sequence[str]) -> Array:
    """Return the numbers of labels, int64 (N,).

    Raises:
        UnknownLabelError: if one is not among the names.
    """
    number = positions(names)
    for label in labels:
        if label not in number:
            raise unknown_label(label, names, record)
    return np.array([number[label] for label in labels], np.int64)


def moved(boxes: Array, where: Placement) -> Array:
    """Return boxes of the image as boxes of what the model sees."""
    (down, across), (top, left) = where.scale, where.offset
    found: Array = boxes * [across, down, across, down] + [left, top, left, top]
    return found


def moved_back(boxes: Array, where: Placement) -> Array:
    """Return boxes of what the model sees as boxes of the image."""
    (down, across), (top, left) = where.scale, where.offset
    found: Array = (boxes - [left, top, left, top]) / [across, down, across, down]
    return found


def said(
    boxes: Array, labels: Sequence[str], size: tuple[int, int], scores: Sequence[float]
) -> dict[str, Any]:
    """Return objects as predictions have them; edges to a hundredth of a pixel."""
    rows = zip(labels, scores, boxes.round(2).tolist(), strict=True)
    objects = [{"label": label, "score": score, "box": box} for label, score, box in rows]
    return {"objects": objects, "width": size[1], "height": size[0]}


def there(
    boxes: Array, labels: Sequence[str], size: tuple[int, int], crowds: Array
) -> dict[str, Any]:
    """Return objects as targets have them; edges to a hundredth of a pixel."""
    objects: list[dict[str, Any]] = []
    for label, box, mark in zip(labels, boxes.round(2).tolist(), crowds.tolist(), strict=True):
        objects.append({"label": label, "box": box, **({MARKS[mark - 1]: True} if mark else {})})
    return {"objects": objects, "width": size[1], "height": size[0]}


def plot_objects(
    axes: Any, pixels: Array, where: Placement, names: Sequence[str], things: Sequence[Any]
) -> None:
    """Draw an image with boxes: those with a score with their label, those without dashed.

    Lines lie on wider ones of the opposite brightness, so that they are seen on any image. Only
    the image is shown, not what fills it up to the size that the model sees.

    Args:
        axes: Matplotlib's.
        pixels: uint8 (H, W, C).
        where: Where the image of the boxes lies in ``pixels``.
        names: Of all classes: each has its colour.
        things: Objects of predictions and targets.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    axes.imshow(pixels if pixels.shape[2] == 3 else pixels[:, :, 0], cmap="gray", vmin=0, vmax=255)
    for one in things:
        x1, y1, x2, y2 = moved(np.array(one["box"]), where)
        colour = _COLOURS[names.index(one["label"]) % len(_COLOURS)]
        found = "score" in one
        line, under = (colour, "white") if found else ("white", "black")
        style = {"linewidth": 1.4} if found else {"linewidth": 1.2, "linestyle": (0, (3, 2))}
        frame = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=line, **style)
        frame.set_path_effects([Stroke(linewidth=2.6, foreground=under), Normal()])
        axes.add_patch(frame)
        if found:
            text = f"{one['label']} {one['score']:.2f}"
            box = {"facecolor": colour, "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
            axes.text(
                x1, y1, text, fontsize=6.5, color="white", va="bottom", bbox=box, clip_on=True
            )


def _wrong(record: Record, what: str, got: Any) -> DataError:
    return DataError(
        what,
        where=str(record.get("_where", "")),
        expected='objects: [{"label": NAME, "box": [x1, y1, x2, y2]}, …]',
        got=got,
        fix="mend or drop this row.",
    )
