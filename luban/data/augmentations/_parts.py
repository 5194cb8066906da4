"""Parts of images, chosen by dice."""

from __future__ import annotations

import math
from collections.abc import Sequence

from numpy.random import Generator


def rectangle(
    size: Sequence[int], shares: tuple[float, float], rng: Generator
) -> tuple[slice, slice]:
    """Return rows and columns of a rectangle whose centre is drawn evenly; it is cut at the edges.

    Args:
        size: Height and width of the image.
        shares: Of height and width: how large the rectangle is.
        rng: The dice.
    """
    rows, columns = (
        slice(
            min(length - 1, max(0, round((at - share / 2) * length))),
            max(1, min(length, round((at + share / 2) * length))),
        )
        for length, at, share in zip(size, rng.random(2).tolist(), shares, strict=False)
    )
    return rows, columns


def shares_of(
    rng: Generator, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[float, float]:
    """Return shares of height and width: area and logarithm of proportions are drawn evenly.

    Args:
        rng: The dice.
        scale: Bounds of the share of the area.
        ratio: Bounds of width to height, the image's own proportions being 1.
    """
    area = rng.uniform(*scale)
    ratios = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
    return math.sqrt(area / ratios), math.sqrt(area * ratios)


def check_bounds(scale: tuple[float, float], ratio: tuple[float, float]) -> None:
    """Refuse bounds that no rectangle can be drawn from.

    Raises:
        ValueError: if they are not rising numbers above 0, or a part is larger than the whole.
    """
    if not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError("scale: two rising shares, above 0 and up to 1")
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError("ratio: two rising numbers above 0")
