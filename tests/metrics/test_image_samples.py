"""Metrics of made images, against scipy and against looking at every image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from luban.metrics.frechet_distance import FrechetDistance
from luban.metrics.nearest_distance import NearestDistance, block_means, nearest
from luban.metrics.recognition import Recognition
from luban.metrics.reconstruction_error import ReconstructionError

RNG = np.random.default_rng(0)


def test_frechet_distance_is_that_of_the_closed_form() -> None:
    real = RNG.normal(size=(300, 5)) @ RNG.normal(size=(5, 5)) + 1
    made = RNG.normal(size=(200, 5)) @ RNG.normal(size=(5, 5))
    a, b = (np.cov(features, rowvar=False, bias=True) for features in (made, real))
    wanted = np.sum((made.mean(0) - real.mean(0)) ** 2)
    wanted += np.trace(a + b - 2 * sqrtm(a @ b).real)
    metric = FrechetDistance(of="x").against(real)
    assert metric.reduce(made) == pytest.approx(wanted, rel=1e-9)
    assert metric.reduce(real) == pytest.approx(0.0, abs=1e-9)
    assert metric.row({"features": np.array([1, 2], np.float32)}, None) == (1.0, 2.0)
    assert metric.label == "frechet-distance (features of x)"
    assert "200" in metric.note(made)


def test_frechet_distance_bears_features_that_never_vary() -> None:
    real = np.column_stack([RNG.normal(size=50), np.zeros(50)])
    assert FrechetDistance().against(real).reduce(real + 2) == pytest.approx(8.0)


@pytest.mark.parametrize("shape", [(28, 28, 1), (9, 30, 3), (5, 4, 1)])
def test_the_nearest_image_is_found_as_if_all_were_looked_at(shape: tuple[int, ...]) -> None:
    images = RNG.integers(0, 256, (700, *shape)).astype(np.uint8)
    metric = NearestDistance().against(images)
    near = np.clip(images[650].astype(int) + 3, 0, 255).astype(np.uint8)
    for image in (RNG.integers(0, 256, shape).astype(np.uint8), near, images[3]):
        every = np.square(images.astype(float) - image).mean((1, 2, 3))
        assert nearest(image, images, metric._means) == pytest.approx(every.min() ** 0.5, rel=1e-6)
    assert metric.row({"image": images[3]}, None) == (0.0,)
    rows = np.array([[2.0], [9.0], [4.0]])
    assert metric.reduce(rows) == 4.0
    assert "2" in metric.note(rows)


def test_the_bound_is_a_bound() -> None:
    images = RNG.integers(0, 256, (50, 28, 28, 1)).astype(np.uint8)
    means = block_means(images)
    bound = np.square(means[1:] - means[0]).mean(1)
    assert (bound <= np.square(images[1:].astype(float) - images[0]).mean((1, 2, 3))).all()


def test_recognition_and_reconstruction() -> None:
    rows = [Recognition().row({"label": "a", "judged": judged}, None) for judged in "aab"]
    assert Recognition().reduce(np.array(rows)) == pytest.approx(2 / 3)
    assert Recognition(by="x").label == "recognised (by x)"
    errors = np.array([ReconstructionError().row({"squared_error": x}, {}) for x in (9.0, 16.0)])
    assert ReconstructionError().reduce(errors) == pytest.approx(12.5**0.5)
