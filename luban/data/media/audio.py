"""Recordings decoded: WAV, FLAC, OGG or MP3 to whole numbers of one channel at one rate.

Shapes: T samples, C channels.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import numpy as np

from luban.core.errors import DataError, UnfitError, UnreadableError
from luban.core.extras import require
from luban.data.files.archives import SOUNDS
from luban.data.media.audio_containers import cut_off, streams
from luban.data.media.media_files import Media

Array: TypeAlias = "np.ndarray[Any, Any]"

_FULL = 32768  #: a sample of 1.0
_HOUR = 3600.0
_BLOCK = 1 << 16  #: samples of each channel that are read at once
#: Share of the energy of C channels that their mean must keep, times C: unlike ones keep 1 / C.
_KEPT = 0.25
_QUIET = 1e-8  #: energy of a step of 16 bits: below, rounding alone makes channels unlike
_ROUNDED = 0.05  #: seconds by which a part may end after the recording: manifests round
_TOLD, _LEAST = 0.05, 0.25  #: share and seconds by which a told duration may be another
_LOUDEST = 4.0  #: a peak, in full scales, up to which a decoder may have overshot
_CUT = 0.05  #: share of the samples that may lie above full scale
#: Share that may lie at full scale: a tone of 8 bits that just fills them has a tenth there.
_CLIPPED = 0.15
_WHOLE = 256  #: from this peak on, real ones that are whole numbers are plainly those of 16 bits


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
    mono = _within(_mixed([samples], name), name)
    _refuse_clipped(mono, name)
    if not len(mono):
        raise UnreadableError("this recording is empty.", where=name)
    if rate != sampling_rate and mono.any():
        mono = _resampled(_real(mono), rate, sampling_rate)
    elif rate != sampling_rate:  # silence stays what it is
        mono = np.zeros(max(1, round(len(mono) * sampling_rate / rate)), np.int16)
    if mono.dtype == np.int16:
        return mono
    whole: Array = np.clip(np.rint(mono * _FULL), -_FULL, _FULL - 1).astype(np.int16)
    if not whole.any() and mono.any():
        raise UnfitError(
            "this recording is quieter than one step of 16 bits.",
            where=name,
            expected="samples of -1 to 1",
            got=f"{np.abs(mono).max():.2g} at most",
            fix="scale it before.",
        )
    return whole


def at_full_scale(samples: Array) -> int:
    """Return how many samples lie at full scale, where what was louder is cut off.

    Args:
        samples: Of one channel, (T,): int16, or real numbers of -1 to 1. Numbers of 8 bits have
            their own full scale.
    """
    if samples.dtype != np.int16:
        return int((np.abs(samples) >= 1 - 1 / _FULL).sum())
    most = _FULL - (1 if (samples & 255).any() else 256)
    return int(((samples >= most) | (samples <= -most)).sum())


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
    with _decoding(recording.name):
        found = [soundfile.info(io.BytesIO(d)) for d in streams(recording.read(), recording.name)]
        rate, frames = int(found[0].samplerate), sum(int(part.frames) for part in found)
        first, last = _meant(recording, frames, rate)
        return rate, (last - first) / rate


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
    """Return samples of one channel (T,), int16 if the file has no finer ones, and their rate.

    Streams that follow each other in the file are joined. Of a recording of which a part is meant,
    only that is read.
    """
    name, soundfile, found, rate = recording.name, _soundfile(), list[Array](), 0
    with _decoding(name), ExitStack() as opened:
        parts = [
            opened.enter_context(soundfile.SoundFile(io.BytesIO(data)))
            for data in streams(recording.read(), name)
        ]
        rates = {int(part.samplerate) for part in parts}
        if len(rates) > 1:
            raise UnfitError(
                "this file holds streams of several sampling rates.",
                where=name,
                got=" and ".join(f"{rate:,} samples a second" for rate in sorted(rates)),
                fix="cut it into a file for each.",
            )
        rate = rates.pop()
        first, last = _meant(recording, sum(int(part.frames) for part in parts), rate)
        _refuse_long((last - first) / rate, max_seconds, name)
        for part in parts:
            begin, end = max(first, 0), min(last, int(part.frames))
            first, last = first - int(part.frames), last - int(part.frames)
            if begin >= end:
                continue
            if begin:
                part.seek(begin)
            whole = part.subtype in ("PCM_16", "PCM_U8", "PCM_S8")
            kind = "int16" if whole else "float32"
            samples = _mixed(_blocks(part, kind, end - begin), name)
            if len(samples) < end - begin:
                raise cut_off(name, len(samples), end - begin, "samples")
            found.append(samples)
    if len({samples.dtype for samples in found}) > 1:
        found = [_real(samples) for samples in found]
    return np.concatenate(found) if found else np.zeros(0, np.int16), rate


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    try:
        yield
    except (_soundfile().LibsndfileError, RuntimeError) as error:
        raise _unreadable(name, error) from None


def _meant(recording: Media, frames: int, rate: int) -> tuple[int, int]:
    """Return the first sample that a recording means, and the one after its last.

    Raises:
        UnfitError: if it means what lies beyond the end, or all is not as long as it is said to be.
    """
    begin, seconds, whole = recording.begin, recording.seconds, frames / rate
    if begin is None:
        if seconds is not None and not _alike(seconds, whole):
            raise UnfitError(
                "this recording is not as long as its row says.",
                where=recording.name,
                expected=f"{seconds:g} seconds",
                got=f"{whole:.2f} seconds",
                fix="an `offset` beside `duration` means a part of it; data.source.segments: false "
                "reads all whatever is said.",
            )
        return 0, frames
    end = whole if seconds is None else begin + seconds
    if begin >= whole or end > whole + _ROUNDED:
        raise UnfitError(
            "the part of the recording that is meant lies beyond its end.",
            where=recording.name,
            expected=f"at most {whole:.2f} seconds",
            got=f"{begin:g} to {end:g} seconds",
            fix="correct offset and duration: they are in seconds.",
        )
    first = round(begin * rate)
    return first, max(first + 1, min(frames, round(end * rate)))


def _alike(told: float, whole: float) -> bool:
    """Return whether a duration is that of a recording: in seconds, or in milliseconds."""
    slack = max(_TOLD * whole, _LEAST)
    return abs(told - whole) <= slack or abs(told / 1000 - whole) <= slack


def _blocks(file: Any, kind: str, left: int) -> Iterator[Array]:
    """Yield samples (T, C): a small file can hold many channels of silence, too much at once."""
    while left and len(part := file.read(min(left, _BLOCK), dtype=kind, always_2d=True)):
        left -= len(part)
        yield part


def _mixed(blocks: Iterable[Array], name: str) -> Array:
    """Return one channel (T,): the mean of several, which is no whole number, so it is real.

    Raises:
        UnreadableError: if a number is not finite.
        UnfitError: if the channels cancel each other (one is the other upside down).
    """
    parts: list[Array] = []
    sums = np.zeros((3, 1))  # of each channel and of their mean: count, values, squares
    for block in blocks:
        several = block.ndim == 2 and block.shape[1] > 1
        part = _real(block).mean(1) if several else block.reshape(-1)
        if not np.isfinite(part).all():
            raise UnreadableError("this recording holds numbers that are not finite.", where=name)
        if several:
            sums = sums + np.column_stack([_sums(_real(block)), _sums(part[:, None])])
        parts.append(part)
    if sums.shape[1] > 1:
        _check_kept(sums, name)
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _sums(samples: Array) -> Array:
    """Return count, sum and sum of squares of each channel of (T, C), float64 (3, C)."""
    total = samples.sum(0, dtype=np.float64)
    squares = np.einsum("tc,tc->c", samples, samples, dtype=np.float64)
    return np.stack([np.full(len(total), len(samples)), total, squares])


def _check_kept(sums: Array, name: str) -> None:
    """Set apart whose channels cancel each other: by sums (3, C + 1), the last of the mean."""
    energies = sums[2] / sums[0] - (sums[1] / sums[0]) ** 2  # a constant is not heard
    kept, before, channels = energies[-1], energies[:-1].mean(), len(energies) - 1
    if kept * channels < _KEPT * before and before > _QUIET:
        raise UnfitError(
            "its channels cancel each other.",
            where=name,
            expected="channels whose mean is what is heard",
            got=f"{kept / before:.1%} of their energy is left in their mean",
            fix="keep one of them: sox IN.wav OUT.wav remix 1.",
        )


def _within(mono: Array, name: str) -> Array:
    """Return samples of -1 to 1; where they are plainly of 16 bits, scaled.

    Decoders of packed sound overshoot a little; that is cut off.

    Raises:
        UnfitError: if it is more than a little.
    """
    if mono.dtype == np.int16 or not len(mono):
        return mono
    sizes = np.abs(mono)
    peak, above = float(sizes.max()), float((sizes > 1).mean())
    if peak <= 1 or (peak <= _LOUDEST and above <= _CUT):
        return mono
    if _WHOLE <= peak <= _FULL and np.array_equal(mono, np.rint(mono)):
        return mono / np.float32(_FULL)
    raise UnfitError(
        "the samples of this recording lie above full scale.",
        where=name,
        expected="real numbers of -1 to 1",
        got=f"a peak of {peak:,.6g}, {above:.1%} of the samples above 1",
        fix="scale it before (numbers of 16 bits: divide by 32,768).",
    )


def _refuse_clipped(mono: Array, name: str) -> None:
    """Set apart what is clipped so much that its waves have lost their form."""
    share = at_full_scale(mono) / max(1, len(mono))
    if share > _CLIPPED:
        raise UnfitError(
            "this recording is clipped.",
            where=name,
            expected=f"at most {_CLIPPED:.0%} of the samples at full scale",
            got=f"{share:.1%}",
            fix="record or convert it anew, more quietly.",
        )


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


def _real(samples: Array) -> Array:
    """Return samples of -1 to 1, float32."""
    real = samples.astype(np.float32)
    return real / np.float32(_FULL) if samples.dtype == np.int16 else real


def _resampled(mono: Array, rate: int, sampling_rate: int) -> Array:
    found: Array = require("soxr", "audio").resample(mono, rate, sampling_rate, quality="HQ")
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


def _unreadable(name: str, error: Exception) -> UnreadableError:
    said = str(error).rpartition(": ")[2].strip(" .")
    return UnreadableError(
        f"this recording cannot be read ({said}).", where=name, expected="WAV, FLAC, OGG or MP3"
    )


def _soundfile() -> Any:
    return require("soundfile", "audio")
