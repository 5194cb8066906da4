"""How near a made image comes to a training image: whether it is a copy.

Shapes: N training images, H height, W width, C channels, P blocks.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from pydantic import PrivateAttr

from luban.core.contracts import Metric, Statistics

Array: TypeAlias = "np.ndarray[Any, Any]"

_BLOCKS = 8  #: blocks along the longer side
_CHUNK = 512


class NearestDistance(Metric):
    """Root mean square difference of pixels (0 to 255) from the nearest training image; the median.

    Compare the figure with that of real unseen images: below it, training images are repeated.
    """

    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    unit: ClassVar[str] = "of 255"
    _images: Array = PrivateAttr(default_factory=lambda: np.zeros((1, 1, 1, 1), np.uint8))
    _means: Array = PrivateAttr(default_factory=lambda: np.zeros((1, 1), np.float32))

    def against(self, images: Array) -> Self:
        """Return this metric with the images to compare with, uint8 (N, H, W, C), maybe on disk."""
        metric = self.model_copy()
        metric._images = images
        parts = [block_means(images[at : at + _CHUNK]) for at in range(0, len(images), _CHUNK)]
        metric._means = np.concatenate(parts)
        return metric

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return (distance from the nearest,) of one image."""
        return (nearest(prediction["image"], self._images, self._means),)

    def compute(self, statistics: Array) -> float:
        """Return the median distance."""
        return float(np.median(statistics[:, 0]))

    def note(self, statistics: Array) -> str:
        """Return the smallest distance of all."""
        return f"the nearest one: {statistics[:, 0].min():.3g}"


def nearest(image: Array, images: Array, means: Array) -> float:
    """Return the root mean square difference of an image from the nearest of others.

    The mean of squares is never below the square of the mean, so the means of blocks bound the
    difference from below: images are compared in the order of the bound, until it exceeds the
    best.

    Args:
        image: uint8 (H, W, C), or (1, 1, C) and so on: what can be subtracted from the others.
        images: uint8 (N, H, W, C).
        means: Their ``block_means``.
    """
    own = block_means(image[None])
    share = _covered(image.shape) if means.shape == (len(images), own.shape[1]) else 0.0
    bounds = share * np.square(means - own).mean(1) if share else np.zeros(len(images))
    order, best = np.argsort(bounds), np.inf
    for at in range(0, len(order), _CHUNK):
        chunk = order[at : at + _CHUNK]
        if bounds[chunk[0]] >= best:
            break
        difference = images[np.sort(chunk)].astype(np.float32) - image
        best = min(best, float(np.square(difference).reshape(len(chunk), -1).mean(1).min()))
    return float(np.sqrt(best))


def block_means(images: Array) -> Array:
    """Return the mean of each block of pixels, float32 (N, P)."""
    count, height, width, channels = images.shape
    side = _side((height, width))
    statistics, columns = height // side, width // side
    cut = images[:, : statistics * side, : columns * side]
    blocks = cut.reshape(count, statistics, side, columns, side, channels)
    means: Array = blocks.mean((2, 4), dtype=np.float32)
    return means.reshape(count, -1)


def _side(size: tuple[int, ...]) -> int:
    return min(size[0], size[1], -(-max(size[0], size[1]) // _BLOCKS))


def _covered(shape: tuple[int, ...]) -> float:
    """Return the share of pixels that lie in blocks."""
    side = _side(shape)
    return (shape[0] // side * side) * (shape[1] // side * side) / (shape[0] * shape[1])
