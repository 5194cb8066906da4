"""Recordings as log-mel features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from .program import Array


def read_sound(path: Path, read: dict[str, Any], filters: Array) -> Array:
    """Return ``input_features`` (1, frames, bands) of a file."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = sound.mean(1)
    if rate != read["sampling_rate"]:
        samples = soxr.resample(samples, rate, read["sampling_rate"], quality="HQ")
    whole = np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.float32) / 32768
    size = read["n_fft"]
    padded = np.pad(whole, (size // 2, size - size // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: read["hop_length"]]
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2 @ filters.T
    power = np.maximum(power, read["floor"])
    if read["scale"] == "whisper":
        logs = np.log10(power)
        features = (np.maximum(logs, logs.max() - 8) + 4) / 4
    else:
        logs = np.log(power)
        features = (logs - logs.mean(0)) / np.maximum(logs.std(0), 1e-3)
    return np.asarray(features[None], np.float32)
