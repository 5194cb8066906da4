"""Recordings decoded: every format, channels, rates; what is damaged is named."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from luban.core.errors import DataError, UnfitError, UnreadableError
from luban.data.media.audio import decode, form_of, is_recording, to_wav
from luban.data.media.media_files import Media

RATE = 8000
TONE = (8000 * np.sin(2 * np.pi * 440 * np.arange(4000) / RATE)).astype(np.int16)


def written(samples: np.ndarray, form: str, subtype: str | None = None, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def test_sixteen_bits_come_back_as_they_were() -> None:
    for data in (to_wav(TONE, RATE), written(TONE, "FLAC", "PCM_16")):
        found = decode(Media("a", data), RATE)
        assert found.dtype == np.int16
        assert np.array_equal(found, TONE)


@pytest.mark.parametrize(
    ("form", "subtype", "near"),
    [
        ("WAV", "FLOAT", 1),
        ("WAV", "PCM_24", 1),
        ("WAV", "PCM_U8", 256),
        ("WAV", "ULAW", 300),
        ("AIFF", "PCM_16", 0),
        ("OGG", "VORBIS", 2000),
        ("MP3", "MPEG_LAYER_III", 2500),
    ],
)
def test_other_formats(form: str, subtype: str, near: int) -> None:
    data = written(TONE / 32768, form, subtype)
    found = decode(Media("a", data), RATE).astype(int)
    assert is_recording(data) or form == "AIFF"
    assert abs(len(found) - len(TONE)) < 1200
    if form not in ("OGG", "MP3"):  # these two move what they cannot keep
        assert np.abs(found - TONE).max() <= near
    assert abs(np.abs(found).max() - 8000) <= max(near, 2)


def test_channels_are_averaged() -> None:
    stereo = np.stack([TONE, np.zeros_like(TONE)], 1)
    found = decode(Media("a", written(stereo, "WAV")), RATE)
    assert np.abs(found - TONE / 2).max() <= 0.5


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100])
def test_another_rate_keeps_pitch_and_loudness(rate: int) -> None:
    wave = (8000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.int16)
    found = decode(Media("a", to_wav(wave, rate)), 16_000).astype(float)
    assert abs(len(found) - 16_000) <= 2
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found))))
    assert abs(np.argmax(spectrum) * 16_000 / len(found) - 440) < 2
    assert found.std() == pytest.approx(8000 / np.sqrt(2), rel=0.01)


def test_arrays_are_at_the_rate_already() -> None:
    assert np.array_equal(decode(TONE, RATE), TONE)
    assert np.array_equal(decode(TONE.astype(np.float64) / 32768, RATE), TONE)
    assert decode(np.array([2.0, -2.0] + [0.5] * 98), RATE)[:2].tolist() == [32767, -32768]
    with pytest.raises(UnfitError, match="above full scale"):
        decode(np.array([2.0, -2.0]), RATE)
    with pytest.raises(DataError, match="this array is no recording") as told:
        decode(np.zeros((2, 2, 2)), RATE, where="a:3")
    assert "a:3" in str(told.value)


def test_silence_of_another_rate() -> None:
    found = decode(Media("a", to_wav(np.zeros(4410, np.int16), 44_100)), RATE)
    assert len(found) == 800
    assert not found.any()


CUT = to_wav(TONE, RATE)[:3000]
ODD = written(np.full(100, np.nan), "WAV", "FLOAT")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "cannot be read"),
        (b"not a recording at all", "cannot be read"),
        (CUT, "cut off: 2,956 of 8,000 bytes"),
        (written(TONE, "FLAC")[:2000], "cannot be read|cut off"),
        (to_wav(TONE[:0], RATE), "empty"),
        (ODD, "not finite"),
    ],
    ids=["nothing", "text", "cut", "cut-flac", "empty", "nan"],
)
def test_what_is_damaged_is_named(data: bytes, said: str) -> None:
    with pytest.raises(UnreadableError, match=said) as told:
        decode(Media("folder/bad.wav", data), RATE)
    assert "folder/bad.wav" in str(told.value)
    if "cannot be read" in str(told.value):
        assert "expected: WAV, FLAC, OGG or MP3" in str(told.value)


LONG = np.tile(TONE / 32768, 40)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_that_ends_within_a_page_is_cut_off(subtype: str) -> None:
    """What is left of it decodes without complaint."""
    whole = written(LONG, "OGG", subtype)
    assert len(decode(Media("a", whole), RATE)) == pytest.approx(len(LONG), abs=700)
    last = whole.rindex(b"OggS")
    for size in (len(whole) // 2, len(whole) - 1, last + 3 + 1, last + 28):
        with pytest.raises(UnreadableError, match="cut off: it ends within a page"):
            decode(Media("a", whole[:size]), RATE)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_whose_recorder_never_set_the_last_flag_is_whole(subtype: str) -> None:
    """Android's, for one: that a file ends between pages says nothing."""
    whole = written(LONG, "OGG", subtype)
    cut = decode(Media("a", whole[: whole.rindex(b"OggS")]), RATE)
    assert len(LONG) / 2 < len(cut) <= len(LONG)


def test_a_wav_of_unknown_size_is_whole(tmp_path: Path) -> None:
    """Programs that write to a pipe cannot go back to tell how much it was."""
    data = bytearray(to_wav(TONE, RATE))
    data[40:44] = b"\xff\xff\xff\xff"
    assert np.array_equal(decode(Media("a", bytes(data)), RATE), TONE)


def test_what_is_too_long_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(DataError, match="too long") as told:
        decode(Media("long.wav", to_wav(TONE, RATE)), RATE, max_seconds=0.4)
    assert "at most 0.4 seconds" in str(told.value)
    assert "long.wav" in str(told.value)
    assert isinstance(told.value, UnfitError)
    assert not isinstance(told.value, UnreadableError)
    with pytest.raises(DataError, match="too long"):
        decode(TONE, RATE, max_seconds=0.4)


def test_many_channels_of_silence_do_not_fill_the_memory() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.ones((700_000, 8), np.int16), 96_000, format="FLAC")
    assert len(file.getvalue()) < 50_000
    tracemalloc.start()
    assert (decode(Media("quiet.flac", file.getvalue()), 96_000) == 1).all()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6, "in single precision all channels are 22e6"


def test_how_long_it_is_without_decoding() -> None:
    assert form_of(Media("a", to_wav(TONE, RATE))) == (RATE, 0.5)
    with pytest.raises(UnreadableError):
        form_of(Media("a", b"no"))


def test_what_a_recording_is() -> None:
    assert is_recording(Media("a/B.FLAC", Path("nowhere")))
    assert is_recording({"bytes": b"", "path": "x.mp3"})
    assert not is_recording(Media("a.png", b"\x89PNG"))
    assert not is_recording("a.wav")
    assert not is_recording(None)
