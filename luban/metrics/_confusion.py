"""A confusion matrix, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_NAMED, _NUMBERED = 40, 16  #: classes up to which names and numbers can be read


def draw_confusion(axes: Any, rows: np.ndarray[Any, Any], classes: Sequence[str]) -> bool:
    """Draw how often each class was taken for each; False where classes do not exclude each other.

    The colour is the share of the examples of a class, so that rare classes are seen too.

    Args:
        axes: Empty matplotlib axes.
        rows: (predicted, true) as class numbers, (N, 2).
        classes: Their names.
    """
    if rows.shape[1] != 2:
        return False
    size = len(classes)
    said, true = rows.astype(np.intp).T
    table = np.bincount(true * size + said, minlength=size * size).reshape(size, size)
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(title="confusion matrix", xlabel="predicted", ylabel="true", xticks=[], yticks=[])
    if size <= _NAMED:
        small = {"fontsize": 9 if size <= _NUMBERED else 6}
        axes.set_xticks(range(size), classes, rotation=90, **small)
        axes.set_yticks(range(size), classes, **small)
    for row, column in zip(*np.nonzero(table), strict=True) if size <= _NUMBERED else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(
            column, row, f"{table[row, column]}", ha="center", va="center", color=colour, fontsize=7
        )
    return True
