"""Log-mel features against librosa, and their shapes where recordings are very short."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from luban.data.media.mel import LogMel, filters

FORMS = [
    (16_000, 80, 400, 160),
    (8000, 40, 200, 80),
    (22_050, 64, 1024, 256),
    (22_050, 64, 551, 220),
    (8000, 23, 256, 100),
]


@pytest.mark.parametrize(("rate", "bands", "n_fft", "hop"), FORMS)
@pytest.mark.parametrize("size", [20_000, 4001, 1120])
def test_powers_are_those_of_librosa(
    rate: int, bands: int, n_fft: int, hop: int, size: int
) -> None:
    samples = np.random.default_rng(size).normal(0, 4000, size).astype(np.int16)
    samples[size // 2 :] //= 100
    ours = LogMel(rate, bands, n_fft, hop).powers(samples)
    theirs = librosa.feature.melspectrogram(
        y=samples / np.float32(32768), sr=rate, n_mels=bands, n_fft=n_fft, hop_length=hop
    ).T
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(np.log(ours + 1e-10), np.log(theirs + 1e-10), atol=1e-4)


@pytest.mark.parametrize(("rate", "bands", "n_fft", "hop"), FORMS)
def test_filters_are_those_of_librosa(rate: int, bands: int, n_fft: int, hop: int) -> None:
    theirs = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=bands)
    np.testing.assert_allclose(filters(rate, n_fft, bands), theirs, atol=1e-7)


def test_the_scale_of_whisper() -> None:
    """log10, eight below the loudest, plus four, over four (its own code)."""
    samples = np.random.default_rng(0).normal(0, 3000, 8000).astype(np.int16)
    samples[:2000] = 0
    mel = LogMel(16_000, 80, 400, 160)
    logs = np.log10(np.maximum(mel.powers(samples).astype(np.float64), 1e-10))
    np.testing.assert_allclose(mel(samples), (np.maximum(logs, logs.max() - 8) + 4) / 4, atol=1e-5)


def test_the_standard_scale_forgets_loudness() -> None:
    samples = np.random.default_rng(0).normal(0, 3000, 8000).astype(np.int16)
    mel = LogMel(8000, 20, 200, 80, "standard")
    found = mel(samples)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0), 1, atol=1e-4)
    np.testing.assert_allclose(mel(samples // 4), found, atol=0.01)


@pytest.mark.parametrize("size", [1, 7, 100, 199, 200, 201, 1120])
def test_recordings_shorter_than_a_window(size: int) -> None:
    mel = LogMel(8000, 20, 200, 80)
    found = mel(np.ones(size, np.int16))
    assert found.shape == (mel.frames(size), 20) == (1 + size // 80, 20)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("size", [0, 219, 220, 221, 2200, 2431])
def test_a_window_of_odd_length_loses_no_frame(size: int) -> None:
    mel = LogMel(22_050, 40, 551, 220)  # 25 and 10 milliseconds
    assert len(mel.powers(np.ones(size, np.int16))) == mel.frames(size) == 1 + size // 220


@pytest.mark.parametrize("scale", ["whisper", "standard"])
def test_silence_is_finite(scale: str) -> None:
    found = LogMel(8000, 20, 200, 80, scale)(np.zeros(800, np.int16))  # type: ignore[arg-type]
    assert np.isfinite(found).all()
