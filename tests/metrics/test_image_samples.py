"""Metrics of made images, against scipy and against looking at every image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from luban.core.intervals import measured
from luban.metrics.frechet_distance import FrechetDistance
from luban.metrics.nearest_distance import NearestDistance, block_means, nearest
from luban.metrics.recognition import Recognition
from luban.metrics.reconstruction_error import ReconstructionError

RNG = np.random.default_rng(0)


def test_frechet_distance_is_that_of_the_closed_form() -> None:
    real = RNG.normal(size=(300, 5)) @ RNG.normal(size=(5, 5)) + 1
    made = RNG.normal(size=(200, 5)) @ RNG.normal(size=(5, 5))
    a, b = (np.cov(features, rowvar=False) for features in (made, real))
    wanted = np.sum((made.mean(0) - real.mean(0)) ** 2)
    wanted += np.trace(a + b - 2 * sqrtm(a @ b).real)
    metric = FrechetDistance(of="x").against(real)
    assert metric.compute(made) == pytest.approx(wanted, rel=1e-9)
    assert metric.compute(real) == pytest.approx(0.0, abs=1e-9)
    assert metric.statistics({"features": np.array([1, 2], np.float32)}, None) == (1.0, 2.0)
    assert metric.label == "frechet-distance (features of x)"
    assert "200" in metric.note(made)


@pytest.mark.parametrize("size", [1, 3, 40])
def test_fewer_images_than_features_give_the_closed_form_too(size: int) -> None:
    real, made = RNG.normal(size=(100, 12)), RNG.normal(size=(size, 12)) + 1
    b = np.cov(real, rowvar=False)
    a = np.cov(made, rowvar=False) if size > 1 else np.zeros((12, 12))
    wanted = np.sum((made.mean(0) - real.mean(0)) ** 2)
    wanted += np.trace(a + b) - 2 * np.sqrt(np.linalg.eigvals(a @ b).real.clip(0)).sum()
    assert FrechetDistance().against(real).compute(made) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("size", "shift"), [(12, 0.0), (12, 0.5), (60, 0.0), (60, 0.5)])
def test_the_interval_covers_the_distance_expected_of_as_many_images(
    size: int, shift: float
) -> None:
    """Drawing images twice adds to the distance: no percentile of such draws would cover it."""
    rng = np.random.default_rng(size)
    metric = FrechetDistance().against(rng.normal(size=(4000, 8)))

    def drawn() -> np.ndarray:
        return rng.normal(size=(size, 8)) * 0.9 + shift

    expected = np.mean([metric.compute(drawn()) for _ in range(400)])
    claims = [measured(metric, [tuple(row) for row in drawn()]) for _ in range(100)]
    ends = [(c.low or 0.0, float(c.value), c.high or 0.0) for c in claims]
    assert all(low <= value < high for low, value, high in ends)
    held = np.mean([low <= expected <= high for low, _, high in ends])
    assert 0.88 <= held <= 1.0


def test_frechet_distance_bears_features_that_never_vary() -> None:
    real = np.column_stack([RNG.normal(size=50), np.zeros(50)])
    assert FrechetDistance().against(real).compute(real + 2) == pytest.approx(8.0)


@pytest.mark.parametrize("shape", [(28, 28, 1), (9, 30, 3), (5, 4, 1)])
def test_the_nearest_image_is_found_as_if_all_were_looked_at(shape: tuple[int, ...]) -> None:
    images = RNG.integers(0, 256, (700, *shape)).astype(np.uint8)
    metric = NearestDistance().against(images)
    near = np.clip(images[650].astype(int) + 3, 0, 255).astype(np.uint8)
    for image in (RNG.integers(0, 256, shape).astype(np.uint8), near, images[3]):
        every = np.square(images.astype(float) - image).mean((1, 2, 3))
        assert nearest(image, images, metric._means) == pytest.approx(every.min() ** 0.5, rel=1e-6)
    assert metric.statistics({"image": images[3]}, None) == (0.0,)
    rows = np.array([[2.0], [9.0], [4.0]])
    assert metric.compute(rows) == 4.0
    assert "2" in metric.note(rows)


def test_the_bound_is_a_bound() -> None:
    images = RNG.integers(0, 256, (50, 28, 28, 1)).astype(np.uint8)
    means = block_means(images)
    bound = np.square(means[1:] - means[0]).mean(1)
    assert (bound <= np.square(images[1:].astype(float) - images[0]).mean((1, 2, 3))).all()


def test_recognition_and_reconstruction() -> None:
    rows = [Recognition().statistics({"label": "a", "judged": judged}, None) for judged in "aab"]
    assert Recognition().compute(np.array(rows)) == pytest.approx(2 / 3)
    assert Recognition(by="x").label == "recognised (by x)"
    errors = np.array(
        [ReconstructionError().statistics({"squared_error": x}, {}) for x in (9.0, 16.0)]
    )
    assert ReconstructionError().compute(errors) == pytest.approx(12.5**0.5)
