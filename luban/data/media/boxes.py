"""Boxes that go along when an image is moved.

A box is (x1, y1, x2, y2) in pixels; N boxes are float32 (N, 4).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from luban.core.contracts import Example

Array: TypeAlias = "np.ndarray[Any, Any]"

#: A box of which less than this is left in the image is no longer one.
VISIBLE = 0.25


def moved_along(
    example: Example,
    size: tuple[int, int],
    scale: tuple[float, float],
    offset: tuple[float, float],
    *,
    visible: float = VISIBLE,
) -> dict[str, Array]:
    """Return ``boxes`` and what goes with them where an image becomes old * scale + offset.

    Boxes are cut at the edges; those of which too little is left are dropped, with their
    ``labels`` and ``crowds``.

    Args:
        example: It may have no boxes: then nothing is returned.
        size: Height and width of the new image.
        scale: Down and across.
        offset: Down and across, in pixels.
        visible: Smallest share of its area that must be left of a box.
    """
    if "boxes" not in example:
        return {}
    factors, shifts = np.array([*scale[::-1]] * 2), np.array([*offset[::-1]] * 2)
    boxes = example["boxes"] * factors + shifts
    cut = boxes.clip(0, [size[1], size[0]] * 2)
    left = (cut[:, 2:] - cut[:, :2]).prod(1)
    kept = (left > 0) & (left >= visible * (boxes[:, 2:] - boxes[:, :2]).prod(1))
    others = {name: example[name][kept] for name in ("labels", "crowds") if name in example}
    return {"boxes": cut[kept].astype(np.float32), **others}
