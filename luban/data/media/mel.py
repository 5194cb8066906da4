"""Log-mel features: how loud a recording is at each time in each band of pitch.

Shapes: T samples, F frames, M bands, K = n_fft / 2 + 1 frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
#: How loudness is written.
Scale: TypeAlias = Literal["whisper", "standard"]

FLOOR = 1e-10  #: power that counts as silence
_LINEAR_HZ = 200.0 / 3  #: Hz in one mel below 1,000 Hz
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ
_LOG_STEP = float(np.log(6.4)) / 27.0  #: natural logarithm of the ratio of one mel above


@dataclass(frozen=True, slots=True)
class LogMel:
    """How features are made of samples.

    A frame is centred every ``hop_length`` samples, the recording lying in silence: samples times
    a Hann window of ``n_fft``, the squared size of the Fourier transform, and its sums weighted
    by M triangles that are evenly spaced in mel. The scale of mel is Slaney's (Auditory Toolbox,
    1998): h 3/200 below 1,000 Hz, 15 + 27 ln(h/1000) / ln 6.4 above; triangles have equal areas.
    So powers are those of ``librosa.feature.melspectrogram`` with its defaults.

    Attributes:
        sampling_rate: Samples a second.
        bands: M, from 0 Hz to half the sampling rate.
        n_fft: Samples of a window.
        hop_length: Samples from one frame to the next.
        scale: ``whisper``: log10 of the power, no more than 8 below the loudest, plus 4, over 4
            (Radford et al. 2022, 2212.04356). ``standard``: the natural logarithm, with mean 0
            and deviation 1 over the recording in each band.
    """

    sampling_rate: int
    bands: int
    n_fft: int
    hop_length: int
    scale: Scale = "whisper"

    def frames(self, samples: Any) -> Any:
        """Return how many frames recordings of so many samples have: 1 + T // hop_length."""
        return 1 + samples // self.hop_length

    def powers(self, samples: Array) -> Array:
        """Return the power in each band, float32 (F, M), of int16 or real samples (T,)."""
        real = samples.astype(np.float32)
        if samples.dtype == np.int16:
            real /= 32768
        # A whole window in all, so that there are as many frames if it is odd.
        padded = np.pad(real, (self.n_fft // 2, self.n_fft - self.n_fft // 2))
        every = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft)
        frames: Array = every[:: self.hop_length]
        spectrum = np.fft.rfft(frames * _hann(self.n_fft), axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)
        found: Array = power @ filters(self.sampling_rate, self.n_fft, self.bands).T
        return found

    def band_of(self, hertz: float) -> float:
        """Return the number of the band whose middle a pitch is, from 0; bands between have parts.

        The first band's middle lies one step of mel above 0 Hz.
        """
        return _mel(hertz) / _mel(self.sampling_rate / 2) * (self.bands + 1) - 1

    def __call__(self, samples: Array) -> Array:
        """Return the features of a recording, float32 (F, M)."""
        powers = np.maximum(self.powers(samples), np.float32(FLOOR))
        if self.scale == "whisper":
            logs: Array = np.log10(powers)
            found: Array = (np.maximum(logs, logs.max() - 8) + 4) / 4
            return found
        logs = np.log(powers)
        found = (logs - logs.mean(0)) / np.maximum(logs.std(0), np.float32(1e-3))
        return found


@lru_cache
def filters(sampling_rate: int, n_fft: int, bands: int) -> Array:
    """Return the triangles of the bands, float32 (M, K), each of area 1 in Hz."""
    frequencies = np.fft.rfftfreq(n_fft, 1 / sampling_rate)
    corners = _hertz(np.linspace(0.0, _mel(sampling_rate / 2), bands + 2))
    rise = (frequencies - corners[:-2, None]) / np.diff(corners)[:-1, None]
    fall = (corners[2:, None] - frequencies) / np.diff(corners)[1:, None]
    triangles = np.maximum(0, np.minimum(rise, fall))
    weights: Array = triangles * (2 / (corners[2:] - corners[:-2]))[:, None]
    return weights.astype(np.float32)


def _mel(hertz: float) -> float:
    if hertz < _BREAK_HZ:
        return hertz / _LINEAR_HZ
    return _BREAK_MEL + float(np.log(hertz / _BREAK_HZ)) / _LOG_STEP


def _hertz(mel: Array) -> Array:
    above = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    found: Array = np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ, above)
    return found


@lru_cache
def _hann(size: int) -> Array:
    """Return a periodic Hann window, float32."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)
