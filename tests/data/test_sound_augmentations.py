"""What augmentations do to sound, by measure."""

from __future__ import annotations

import numpy as np
import pytest

from luban.core.contracts import Augmentation, AugmentationContext
from luban.core.errors import RecipeError

TONE = (8000 * np.sin(2 * np.pi * 500 * np.arange(8000) / 8000)).astype(np.int16)


def drawn(fields: object, field: str, array: np.ndarray, seed: int = 0) -> np.ndarray:
    augmentation: Augmentation = Augmentation.from_dict(fields)
    rng = np.random.default_rng(seed)
    found = augmentation.apply({field: array}, AugmentationContext(rng, dict))
    return np.asarray(found[field])


def test_noise_is_as_soft_as_asked() -> None:
    fields = {"name": "gaussian-noise", "probability": 1.0, "min_snr_db": 20.0, "max_snr_db": 20.0}
    noise = drawn(fields, "samples", TONE).astype(float) - TONE
    assert 20 * np.log10(TONE.std() / noise.std()) == pytest.approx(20, abs=0.2)


def test_speed_changes_length_and_pitch_together() -> None:
    fields = {"name": "speed-perturbation", "min_speed": 0.5, "max_speed": 1.0}
    found = drawn(fields, "samples", TONE)
    speed = len(TONE) / len(found)
    assert 0.5 <= speed < 1
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found))))
    assert np.argmax(spectrum) * 8000 / len(found) == pytest.approx(500 * speed, abs=2)


def test_masks_are_whole_bands_and_stretches() -> None:
    features = np.random.default_rng(1).normal(size=(50, 40)).astype(np.float32)
    hidden = np.zeros(2)
    for seed in range(200):
        found = drawn("spec-augment", "features", features, seed)
        changed = found != features
        bands, times = changed.all(0), changed.all(1)
        assert np.array_equal(changed, bands[None, :] | times[:, None])
        assert bands.sum() <= 2 * 8
        assert times.sum() <= 2 * 5
        hidden += bands.mean(), times.mean()
    assert (hidden / 200 > 0.05).all()


@pytest.mark.parametrize(("axis", "name", "most"), [(1, "frequency", 8), (0, "time", 5)])
def test_a_mask_has_any_width_up_to_its_share_and_any_place(
    axis: int, name: str, most: int
) -> None:
    features = np.random.default_rng(1).normal(3, 1, (50, 40)).astype(np.float32)
    fields = {"name": "spec-augment", "frequency_masks": 0, "time_masks": 0, f"{name}_masks": 1}
    lines = []
    for seed in range(400):
        found = drawn(fields, "features", features, seed)
        lines.append((found != features).all(1 - axis))
        assert (found[found != features] == features.mean()).all()
    widths = np.sum(lines, 1)
    assert set(widths.tolist()) == set(range(most + 1))
    assert widths.mean() == pytest.approx(most / 2, abs=0.5)
    assert np.any(lines, 0).all()


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "gaussian-noise", "min_snr_db": 30.0, "max_snr_db": 10.0},
        {"name": "speed-perturbation", "min_speed": 1.0, "max_speed": 1.0},
        {"name": "speed-perturbation", "min_speed": 0.0},
    ],
)
def test_nonsense_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(RecipeError):
        Augmentation.from_dict(fields)
