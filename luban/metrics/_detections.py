"""Which detections of an image are right, and what precision they reach: COCO's rules.

As in ``pycocotools``, whose figures these equal where no two scores are the same; there it
depends on the order of the images which of equal scores comes first, here they count together.

Shapes: D detections, G true boxes, T thresholds of the overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

#: IoU from which a detection is right: .5, .55, …, .95.
OVERLAPS = np.linspace(0.5, 0.95, 10)
#: At these recalls precision is looked up.
RECALLS = np.linspace(0.0, 1.0, 101)


def best_objects(objects: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """Return the objects with the best scores, best first; what has no score is sure."""
    return sorted(objects, key=lambda found: -score_of(found))[:most]


def score_of(found: Mapping[str, Any]) -> float:
    """Return the score of a detection; 1 where it has none, as in a target."""
    return float(found.get("score", 1.0))


def counted(one: Mapping[str, Any]) -> bool:
    """Return whether a true object is to be found: it is no crowd, and not difficult to see."""
    return not (one.get("crowd") or one.get("difficult"))


def matches(
    found: Sequence[Mapping[str, Any]],
    there: Sequence[Mapping[str, Any]],
    thresholds: Array = OVERLAPS,
) -> tuple[Array, Array]:
    """Return which detections are right, and which do not count, at each threshold; bool (T, D).

    The best first, each takes the free box of its label with the largest overlap, if that
    reaches the threshold; a box is taken once. As in the VOC devkit (``VOCevaldet.m``), one whose
    largest overlap with any box of its label is that with a ``difficult`` object, and reaches the
    threshold, takes none and does not count; any number may. Nor does one that takes none, if
    enough of its own area lies in a crowd of its label.

    Args:
        found: Detections, best first: ``label`` and ``box``.
        there: True objects likewise; ``crowd`` is true where a box stands for a group of them,
            ``difficult`` where nobody need find it.
        thresholds: Smallest IoU, shape (T,).
    """
    enough = np.minimum(thresholds, 1 - 1e-10)
    wanted = [one for one in there if counted(one)]
    difficult = [one for one in there if one.get("difficult") and not one.get("crowd")]
    ignored = _on_difficult(found, wanted, difficult, enough)
    right = _hits(found, wanted, enough, ignored)
    if crowds := [one for one in there if one.get("crowd")]:
        shares = box_overlaps(*_boxes(found, crowds), of_first=True)
        most = _of_one_label(found, crowds, shares).max(1, initial=-1.0)
        ignored |= most >= enough[:, None]
    return right, ignored & ~right


def _on_difficult(
    found: Sequence[Mapping[str, Any]],
    wanted: Sequence[Mapping[str, Any]],
    difficult: Sequence[Mapping[str, Any]],
    enough: Array,
) -> Array:
    """Return which detections overlap most with a difficult object, and enough; bool (T, D).

    As much as with another one is not most: what is found exactly is always right.
    """
    if not found or not difficult:
        return np.zeros((len(enough), len(found)), bool)
    most, other = (
        _of_one_label(found, some, box_overlaps(*_boxes(found, some))).max(1, initial=-1.0)
        for some in (difficult, wanted)
    )
    reached: Array = (most >= enough[:, None]) & (most > other)
    return reached


def _hits(
    found: Sequence[Mapping[str, Any]],
    there: Sequence[Mapping[str, Any]],
    enough: Array,
    apart: Array,
) -> Array:
    """Return which detections take a box; those that are ``apart``, (T, D), take none."""
    right = np.zeros((len(enough), len(found)), bool)
    if not found or not there:
        return right
    iou = _of_one_label(found, there, box_overlaps(*_boxes(found, there)))
    free = np.ones((len(enough), len(there)), bool)
    every = np.arange(len(enough))
    for number in np.flatnonzero(iou.max(1) >= enough.min()):  # most reach no box at all
        open_ = np.where(free, iou[number], -1.0)
        best = len(there) - 1 - open_[:, ::-1].argmax(1)  # of equal ones the last, as there
        right[:, number] = (open_[every, best] >= enough) & ~apart[:, number]
        free[every, best] &= ~right[:, number]
    return right


def _boxes(*sides: Sequence[Mapping[str, Any]]) -> list[list[Sequence[float]]]:
    return [[one["box"] for one in objects] for objects in sides]


def _of_one_label(
    found: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]], overlaps: Array
) -> Array:
    """Return overlaps (D, G), and -1 for those of two labels."""
    labels = ([one["label"] for one in objects] for objects in (found, there))
    mine, theirs = (np.array(names, dtype=object) for names in labels)
    same: Array = np.where(mine[:, None] == theirs[None], overlaps, -1.0)
    return same


def box_overlaps(
    one: Sequence[Sequence[float]], other: Sequence[Sequence[float]], *, of_first: bool = False
) -> Array:
    """Return the IoU of every pair of boxes, or the share of the first's area; float64 (D, G)."""
    a, b = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (one, other))
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.maximum(high - low, 0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    union = areas[0][:, None] + (0.0 if of_first else areas[1][None] - both)
    shares: Array = both / np.maximum(union, np.finfo(np.float64).tiny)
    return shares


def precision_at_recalls(
    scores: Array, right: Array, there: int, counts: Array | None = None
) -> Array:
    """Return the best precision at each of ``RECALLS`` or beyond, (T, 101).

    Args:
        scores: Shape (D,), in any order.
        right: Shape (T, D).
        there: True objects, at least 1.
        counts: Which detections count at all, (T, D); None: all of them.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, len(order) > 0))
    true = right[:, order].cumsum(1)[:, ends]
    told = np.ones_like(right) if counts is None else counts
    recall = true / there
    precision = true / np.maximum(told[:, order].cumsum(1)[:, ends], 1)
    precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    found = np.zeros((len(right), len(RECALLS)))
    for row, (reached, precise) in enumerate(zip(recall, precision, strict=True)):
        at = np.searchsorted(reached, RECALLS, side="left")
        inside = at < len(reached)
        found[row, inside] = precise[at[inside]]
    return found
