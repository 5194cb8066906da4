"""Least squares over small pictures of any number and size."""

from __future__ import annotations

import tracemalloc

import numpy as np

from luban.data.baselines.ridge import Ridge


def test_large_images_do_not_fill_the_memory() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 256, 256, 3), dtype=np.uint8)
    pixels[::2] //= 2
    labels = np.arange(96) % 2
    tracemalloc.start()
    ridge = Ridge(pixels.reshape(-1, 256, 3), labels, len(pixels), 2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6, "all of them are 150e6 in float64"
    assert all(
        ridge.scores(image).argmax() == label for image, label in zip(pixels, labels, strict=True)
    )
