"""A confusion matrix, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_NAMED, _NUMBERED = 40, 16  #: classes up to which names and numbers can be read
_CELLS = 500  #: along a side; the figure has no more pixels for them


def draw_confusion(axes: Any, rows: np.ndarray[Any, Any], classes: Sequence[str]) -> bool:
    """Draw how often each class was taken for each; False where classes do not exclude each other.

    The colour is the share of the examples of a class, so that rare classes are seen too. Of very
    many classes, neighbours share a cell.

    Args:
        axes: Empty matplotlib axes.
        rows: (predicted, true) as class numbers, (N, 2).
        classes: Their names.
    """
    if rows.shape[1] != 2:
        return False
    size, cells = len(classes), min(len(classes), _CELLS)
    # More cells than a figure has pixels would not be seen, and would need memory for classes².
    each = -(-size // cells)
    cells = -(-size // each)
    said, true = rows.astype(np.intp).T // each
    table = np.bincount(true * cells + said, minlength=cells * cells).reshape(cells, cells)
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    title = "confusion matrix" + (f", {each:,} classes in each cell" if each > 1 else "")
    axes.set(title=title, xlabel="predicted", ylabel="true", xticks=[], yticks=[])
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
