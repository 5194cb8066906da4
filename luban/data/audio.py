"""Recordings decoded: WAV, FLAC, OGG or MP3 to whole numbers of one channel at one rate.

Shapes: T samples, C channels.
"""

from __future__ import annotations

import io
import re
from typing import Any, TypeAlias

import numpy as np

from luban.core.errors import DataError, MissingExtra, UnfitError, UnreadableError
from luban.data.media import Media
from luban.data.members import SOUNDS

Array: TypeAlias = "np.ndarray[Any, Any]"

_FULL = 32768  #: a sample of 1.0
_HOUR = 3600.0
_BLOCK = 1 << 16  #: samples of each channel that are read at once
_PAGE = 27  #: bytes of the head of an OGG page; the last is the number of its segments
_STREAMED = (0, 0x7FFFFFFF, 0xFFFFFFFF)  #: sizes that encoders write who cannot go back


def decode(
    recording: Media | Array, sampling_rate: int, *, max_seconds: float = _HOUR, where: str = ""
) -> Array:
    """Return the samples of a recording, int16 (T,), T >= 1: the mean of its channels, resampled.

    Args:
        recording: A file, or an array (T,) or (T, C) that is at the rate already: int16, or real
            numbers of -1 to 1.
        sampling_rate: Samples a second; other rates are resampled (soxr, high quality).
        max_seconds: What is longer is refused before it is decoded.
        where: The row, for messages about arrays.

    Raises:
        UnreadableError: if it is damaged, cut off or empty.
        UnfitError: if it is too long.
        DataError: if it is an array of another form.
        MissingExtra: without soundfile or soxr.
    """
    if isinstance(recording, np.ndarray):
        samples, rate, name = _checked(recording, where), sampling_rate, where
        _refuse_long(len(samples) / rate, max_seconds, name)
    else:
        samples, rate = _read(recording, max_seconds)
        name = recording.name
    mono = _mono(samples)
    if not len(mono):
        raise UnreadableError("this recording is empty.", where=name)
    if not np.isfinite(mono).all():
        raise UnreadableError("this recording holds numbers that are not finite.", where=name)
    if rate != sampling_rate and mono.any():
        mono = _resampled(_real(mono), rate, sampling_rate)
    elif rate != sampling_rate:  # silence stays what it is
        mono = np.zeros(max(1, round(len(mono) * sampling_rate / rate)), np.int16)
    if mono.dtype == np.int16:
        return mono
    whole: Array = np.clip(np.rint(mono * _FULL), -_FULL, _FULL - 1).astype(np.int16)
    return whole


def to_wav(samples: Array, sampling_rate: int) -> bytes:
    """Return a WAV file of samples, int16 (T,)."""
    file = io.BytesIO()
    _soundfile().write(file, samples, sampling_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def form_of(recording: Media) -> tuple[int, float]:
    """Return the sampling rate of a recording and its seconds, as its header says.

    Raises:
        UnreadableError: if there is no such header.
    """
    soundfile = _soundfile()
    try:
        found = soundfile.info(io.BytesIO(recording.read()))
        return int(found.samplerate), float(found.duration)
    except soundfile.LibsndfileError as error:
        raise _unreadable(recording.name, error) from None


def is_recording(value: Any) -> bool:
    """Return whether a value of a record is a recording, by its name or its first bytes."""
    if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
        value = Media(str(value.get("path") or ""), value["bytes"])
    if isinstance(value, bytes):
        value = Media("", value)
    if not isinstance(value, Media):
        return False
    if value.name.lower().endswith(SOUNDS):
        return True
    return isinstance(value.source, bytes) and bool(_MAGIC.match(value.source[:12]))


_MAGIC = re.compile(
    rb"RIFF....WAVE|fLaC|OggS|ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]|FORM....AIF", re.DOTALL
)


def _read(recording: Media, max_seconds: float) -> tuple[Array, int]:
    """Return samples of one channel (T,), int16 if the file has no finer ones, and their rate."""
    data, name, soundfile = recording.read(), recording.name, _soundfile()
    _refuse_cut_wav(data, name)
    _refuse_cut_ogg(data, name)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, frames = int(file.samplerate), int(file.frames)
            _refuse_long(frames / rate, max_seconds, name)
            whole = file.subtype in ("PCM_16", "PCM_U8", "PCM_S8")
            kind, parts = "int16" if whole else "float32", [np.zeros(0, np.int16)]
            # A small file can hold many channels of silence: they are never in memory together.
            while len(part := file.read(_BLOCK, dtype=kind, always_2d=True)):
                parts.append(_mono(part))
            samples = np.concatenate(parts[1:] or parts)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise _unreadable(name, error) from None
    if len(samples) < frames:
        raise _cut_off(name, len(samples), frames, "samples")
    return samples, rate


def _refuse_cut_wav(data: bytes, name: str) -> None:
    """Refuse a WAV file that ends before its samples do: the library reads what there is."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            if size not in _STREAMED and at + 8 + size > len(data):
                raise _cut_off(name, len(data) - at - 8, size, "bytes")
            return
        at += 8 + size + size % 2


def _refuse_cut_ogg(data: bytes, name: str) -> None:
    """Refuse an OGG file that ends within a page (RFC 3533, section 6): the library skips it.

    A last page without the flag that ends the stream is no sign: many recorders never set it.
    """
    at = 0
    while data[at : at + 4] == b"OggS":
        segments = data[at + _PAGE - 1] if len(data) >= at + _PAGE else 0
        lengths = data[at + _PAGE : at + _PAGE + segments]
        end = at + _PAGE + segments + sum(lengths)
        if len(lengths) < segments or end > len(data):
            raise UnreadableError("this recording is cut off: it ends within a page.", where=name)
        at = end


def _checked(array: Array, where: str) -> Array:
    whole = array.dtype == np.int16
    if array.ndim not in (1, 2) or not (whole or array.dtype.kind == "f"):
        raise DataError(
            "this array is no recording.",
            where=where,
            expected="int16, or real numbers of -1 to 1; (samples,) or (samples, channels)",
            got=f"{array.dtype} {array.shape}",
        )
    return array if whole else array.astype(np.float32, copy=False)


def _mono(samples: Array) -> Array:
    """Return one channel; the mean of several is no whole number, so it is real."""
    if samples.ndim == 1:
        return samples
    mono: Array = samples[:, 0] if samples.shape[1] == 1 else _real(samples).mean(1)
    return mono


def _real(samples: Array) -> Array:
    """Return samples of -1 to 1, float32."""
    real = samples.astype(np.float32)
    return real / np.float32(_FULL) if samples.dtype == np.int16 else real


def _resampled(mono: Array, rate: int, sampling_rate: int) -> Array:
    try:
        import soxr
    except ImportError:
        raise MissingExtra("soxr", "audio") from None
    found: Array = soxr.resample(mono, rate, sampling_rate, quality="HQ")
    return found if len(found) else mono[:1]


def _refuse_long(seconds: float, most: float, name: str) -> None:
    if seconds > most:
        raise UnfitError(
            "this recording is too long.",
            where=name,
            expected=f"at most {most:g} seconds",
            got=f"{seconds:.1f} seconds",
            fix="cut it where nobody speaks, or raise task.max_seconds.",
        )


def _cut_off(name: str, found: int, expected: int, unit: str) -> UnreadableError:
    return UnreadableError(
        f"this recording is cut off: {found:,} of {expected:,} {unit} are there.", where=name
    )


def _unreadable(name: str, error: Exception) -> UnreadableError:
    said = str(error).rpartition(": ")[2].strip(" .")
    return UnreadableError(
        f"this recording cannot be read ({said}).", where=name, expected="WAV, FLAC, OGG or MP3"
    )


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError:
        raise MissingExtra("soundfile", "audio") from None
    return soundfile
