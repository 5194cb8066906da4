"""Linear regression over small pictures: what the rough distribution of light tells of a class."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

_AT_ONCE = 4_000_000  #: values of images looked at together, to bound memory
_LARGEST = 50_000  #: images learned from


def shrunk(pixels: Array, side: int) -> Array:
    """Return images (N, H, W, C) averaged over a grid of at most side by side, float64, 0 to 1."""
    found = pixels / 255.0
    for axis in (1, 2):
        length = found.shape[axis]
        if length > side:
            starts = np.arange(side) * length // side
            sizes = np.diff(np.append(starts, length))
            shape = [1, 1, 1, 1]
            shape[axis] = side
            found = np.add.reduceat(found, starts, axis) / sizes.reshape(shape)
    small: Array = found
    return small


class Ridge:
    """Least squares from small pixels to the indicator of each class (Hoerl and Kennard 1970).

    Args:
        pixels: Training images joined end to end, uint8 (N * H, W, C).
        labels: The class of each, (N,); or 0 or 1 for each class, (N * K,).
        count: N.
        classes: K.
        side: Pixels are averaged over a grid of this many rows and columns.
        penalty: Added to the mean square of each pixel; squared length of weights costs so much.
    """

    def __init__(  # noqa: PLR0913
        self,
        pixels: Array,
        labels: Array,
        count: int,
        classes: int,
        *,
        side: int = 12,
        penalty: float = 1e-3,
    ) -> None:
        self._side = side
        images = pixels.reshape(count, -1, *pixels.shape[1:])
        answers = labels.reshape(count, -1)
        step = -(-count // _LARGEST)
        stride = step * max(1, _AT_ONCE // max(1, images[:1].size, classes))
        gram: Any = 0.0
        cross: Any = 0.0
        for start in range(0, count, stride):
            inputs = self._inputs(images[start : start + stride : step])
            part = answers[start : start + stride : step]
            truth = _indicators(part[:, 0], classes) if part.shape[1] == 1 < classes else part
            gram, cross = gram + inputs.T @ inputs, cross + inputs.T @ truth
        slopes = np.full(len(gram), penalty * -(-count // step))
        slopes[-1] = 0.0  # the constant is free
        self._weights: Array = np.linalg.lstsq(gram + np.diag(slopes), cross, rcond=None)[0]

    def scores(self, pixels: Array) -> Array:
        """Return what is expected of each class, 0 to 1, (K,), given one image (H, W, C)."""
        expected: Array = np.clip((self._inputs(pixels[np.newaxis]) @ self._weights)[0], 0, 1)
        return expected

    def _inputs(self, images: Array) -> Array:
        small = shrunk(images, self._side).reshape(len(images), -1)
        return np.concatenate([small - 0.5, np.ones((len(small), 1))], axis=1)


def _indicators(labels: Array, classes: int) -> Array:
    """Return 1 for the class of each example and 0 for the others, (N, K)."""
    found = np.zeros((len(labels), classes))
    found[np.arange(len(labels)), labels] = 1.0
    return found
