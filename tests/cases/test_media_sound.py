"""Recordings as strangers' files have them: every sample is read, or the file set apart."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from luban.core.contracts import Record, Source, Task
from luban.core.errors import DataError, UnfitError
from luban.data.media.media_files import Media
from tests.cases.media import read, source

RATE = 16_000
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)


def sound(samples: Any = TONE, form: str = "WAV", rate: int = RATE, **how: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, **how)
    return file.getvalue()


def heard(recording: Any) -> np.ndarray[Any, Any]:
    """Return the samples that the task which classifies recordings makes of one."""
    if isinstance(recording, bytes):
        recording = Media("a.wav", recording)
    task = Task.from_dict("audio-classification")
    samples: np.ndarray[Any, Any] = task.encode_input({"audio": recording})["samples"]
    return samples


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("scale", [32768, 2**31, 100])
def test_real_numbers_above_full_scale_are_set_apart(scale: float, subtype: str) -> None:
    with pytest.raises(UnfitError, match="above full scale"):
        heard(sound(TONE * scale, subtype=subtype))


def test_whole_numbers_of_16_bits_written_as_real_ones_are_scaled() -> None:
    whole = np.rint(TONE * 32768)
    assert np.array_equal(heard(sound(whole, subtype="FLOAT")), whole)


def test_arrays_above_full_scale_are_set_apart() -> None:
    with pytest.raises(UnfitError, match="above full scale"):
        heard(TONE * 32768)


def test_what_is_quieter_than_a_step_is_not_called_silence() -> None:
    with pytest.raises(UnfitError, match="quieter than one step"):
        heard(sound(TONE * 1e-6, subtype="FLOAT"))


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16"), ("AU", "PCM_16"),
    ],
)  # fmt: skip
def test_streams_that_follow_each_other_are_all_read(form: str, subtype: str) -> None:
    one = sound(form=form, subtype=subtype)
    alone, twice = heard(one), heard(one + one)
    assert len(alone) == RATE
    assert len(twice) == 2 * RATE
    assert np.array_equal(twice[:RATE], alone)
    assert np.array_equal(twice[RATE:], alone)


def test_streams_of_several_rates_are_set_apart() -> None:
    with pytest.raises(UnfitError, match="several sampling rates"):
        heard(sound(form="FLAC") + sound(form="FLAC", rate=8000))


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_a_size_that_was_never_written_does_not_empty_the_file(size: int) -> None:
    data = bytearray(sound())
    at = data.find(b"data")
    data[at + 4 : at + 8] = data[4:8] = struct.pack("<I", size)
    assert np.array_equal(heard(bytes(data)), heard(sound()))


def test_a_file_without_samples_is_empty_also_before_other_chunks() -> None:
    data = bytearray(sound(np.zeros(0)))
    for more in (b"", b"LIST" + struct.pack("<I", 4) + b"INFO"):
        with pytest.raises(UnfitError, match="empty"):
            heard(bytes(data) + more)


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("WAV", "PCM_16"), ("RF64", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"),
        ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
    ],
)  # fmt: skip
def test_a_recording_that_is_cut_off_is_set_apart(form: str, subtype: str) -> None:
    data = sound(form=form, subtype=subtype)
    with pytest.raises(UnfitError, match=r"cut off|cannot be read"):
        heard(data[: 2 * len(data) // 3])


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_pages_that_are_missing_are_not_passed_over(subtype: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 6 * RATE)
    pages = sound(noise, "OGG", subtype=subtype).split(b"OggS")
    del pages[len(pages) // 2]
    with pytest.raises(UnfitError, match="pages are missing"):
        heard(b"OggS".join(pages))


def channels(*parts: Any) -> bytes:
    return sound(np.column_stack(parts))


@pytest.mark.parametrize("offset", [0.0, 0.25])
def test_channels_that_cancel_each_other_are_set_apart(offset: float) -> None:
    with pytest.raises(UnfitError, match="cancel each other"):
        heard(channels(TONE + offset, -TONE + offset))


def test_channels_that_do_not_cancel_are_mixed() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (2, RATE))
    for parts in ((TONE, TONE), (TONE, 0 * TONE), (noise[0], noise[1]), (0 * TONE, 0 * TONE)):
        assert len(heard(channels(*parts))) == RATE


def manifest(root: Path, rows: Sequence[dict[str, Any]], **how: Any) -> Source:
    """Write a recording of five seconds, each on a tone of its own, and rows that name it."""
    times = np.arange(5 * RATE) / RATE
    tones = 0.3 * np.sin(2 * np.pi * 200 * (1 + times.astype(int)) * times)
    soundfile.write(root / "long.wav", tones, RATE)
    lines = [json.dumps({"audio_filepath": "long.wav", "text": "hi", **row}) for row in rows]
    (root / "train.json").write_text("\n".join(lines))
    fields = {"fields": {"audio": "audio_filepath"}, "media": {"audio": ""}, **how}
    return source("jsonl", str(root / "train.json"), **fields)


def pitches(records: Sequence[Record]) -> list[tuple[float, int]]:
    """Return the seconds of each recording and its strongest frequency."""
    found = []
    for record in records:
        samples = heard(record["audio"])
        peak = np.abs(np.fft.rfft(samples.astype(float))).argmax() * RATE / len(samples)
        found.append((len(samples) / RATE, round(peak)))
    return found


@pytest.mark.parametrize(
    ("row", "right"),
    [
        ({"offset": 2.0, "duration": 1.0}, (1.0, 600)),
        ({"offset": 0, "duration": 1}, (1.0, 200)),
        ({"offset": "3.0", "duration": "1.0"}, (1.0, 800)),
        ({"offset": 4.0}, (1.0, 1000)),
        ({"start": 1.0, "end": 2.0}, (1.0, 400)),
        ({"start_time": "00:00:03.0", "end_time": "00:04"}, (1.0, 800)),
        ({"offset": 4.0, "duration": 1.02}, (1.0, 1000)),
        ({"duration": 5.0}, (5.0, None)),
        ({"duration": 5000}, (5.0, None)),
        ({"offset": None, "duration": None}, (5.0, None)),
    ],
    ids=str,
)
@pytest.mark.parametrize("others", [True, False])
def test_a_manifest_means_a_part_of_a_recording(
    row: dict[str, Any], right: tuple[float, int | None], others: bool, tmp_path: Path
) -> None:
    records, apart = read(manifest(tmp_path, [row], others=others))
    assert not apart
    seconds, pitch = pitches(records)[0]
    assert seconds == pytest.approx(right[0])
    assert right[1] is None or pitch == right[1]


@pytest.mark.parametrize(
    "row",
    [{"offset": 4.5, "duration": 1.0}, {"offset": 32000, "duration": 16000}, {"duration": 1.0}],
    ids=str,
)
def test_a_part_that_is_not_there_is_set_apart(row: dict[str, Any], tmp_path: Path) -> None:
    records, _ = read(manifest(tmp_path, [row]))
    with pytest.raises(UnfitError, match=r"beyond its end|not as long"):
        heard(records[0]["audio"])
    records, _ = read(manifest(tmp_path, [row], segments=False))
    assert len(heard(records[0]["audio"])) == 5 * RATE


@pytest.mark.parametrize(
    "row",
    [{"offset": -1, "duration": 1}, {"offset": 1, "duration": 0}, {"start": 2, "end": 1},
     {"offset": "soon"}, {"offset": True}],
    ids=str,
)  # fmt: skip
def test_times_that_are_none_are_set_apart(row: dict[str, Any], tmp_path: Path) -> None:
    records, apart = read(manifest(tmp_path, [row]))
    assert not records
    assert "train.json:1" in apart[0]


def test_parts_of_one_recording_are_different_records(tmp_path: Path) -> None:
    rows = [{"offset": n, "duration": 1, "label": str(n)} for n in range(5)]
    found = manifest(tmp_path, rows)
    assert [pitch for _, pitch in pitches(read(found)[0])] == [200, 400, 600, 800, 1000]
    table = "".join(f"long.wav,{n},1\n" for n in range(5))
    (tmp_path / "metadata.csv").write_text(f"file_name,offset,duration\n{table}")
    (tmp_path / "train.json").unlink()
    records, _ = read(source("files", str(tmp_path)))
    assert [pitch for _, pitch in pitches(records)] == [200, 400, 600, 800, 1000]


def folder(root: Path, files: dict[str, bytes | str]) -> Source:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return source("files", str(root))


def described(text: str) -> dict[str, bytes | str]:
    """Return three recordings and a table of metadata."""
    return {**{f"{name}.wav": sound(TONE[:100]) for name in "abc"}, "metadata.csv": text}


@pytest.mark.parametrize(
    ("files", "good", "said"),
    [
        (described("file_name,text\na.wav,x\nlost.wav,y\n"), 1, ["metadata.csv:3"]),
        (described("file_name,text\na.wav,x\n,y\nb.wav,y,z\n"), 1, ["csv:3", "csv:4"]),
        (described("file_name,text\na.wav,x\na.wav,y\n"), 0, ["several rows"] * 2),
        (described('file_name,text\na.wav,"x\nb.wav,y\nc.wav,z\n'), 2, ["not closed"]),
        ({"a.wav": sound(), "a.txt": "x", "b.wav": sound(), "b.txt": "y", "c.txt": "z"}, 2,
         ["c.txt"]),
        ({"a.wav": sound(), "a.txt": "x", "b.wav": sound(), "b.txt": "y", "c.wav": sound()}, 2,
         ["nothing tells what is said"]),
        ({"a.wav": sound(), "a.cls": "0", "b.wav": sound(), "b.cls": "1", "c.cls": "1"}, 2,
         ["c.cls"]),
        ({"a.wav": sound(), "a.json": '{"label": 1, "label": 2}', "b.wav": sound(),
          "b.json": '{"label": 1}'}, 1, ["stands twice"]),
        ({"x/a.wav": sound(), "x/b.wav": sound(), "y/c.wav": sound(),
          "validation_list.txt": "x/b.wav\ny/lost.wav\n"}, 2, []),
    ],
    ids=["lost", "ragged", "twice", "quote", "transcript", "no transcript", "cls", "json", "list"],
)  # fmt: skip
def test_what_has_no_counterpart_is_set_apart(
    files: dict[str, bytes | str], good: int, said: list[str], tmp_path: Path
) -> None:
    records, apart = read(folder(tmp_path, files))
    assert len(records) == good
    assert [text in line for text, line in zip(said, apart, strict=True)] == [True] * len(said)


def test_a_list_that_names_a_file_which_is_lost_still_tells_the_split(tmp_path: Path) -> None:
    found = folder(tmp_path, {
        "x/a.wav": sound(), "x/b.wav": sound(), "y/c.wav": sound(),
        "validation_list.txt": "x/b.wav\ny/lost.wav\n",
    })  # fmt: skip
    assert found.splits() == ("train", "validation")
    records, apart = read(found, "validation")
    assert len(records) == 1
    assert "lost.wav" in apart[0]


@pytest.mark.parametrize(
    "files",
    [
        described("file_name,text,text\na.wav,x,y\n"),
        {"x/a.wav": sound(), "y/b.wav": sound(), "validation_list.txt": "x/a.wav\n",
         "testing_list.txt": "x/a.wav\n"},
    ],
    ids=["column", "split"],
)  # fmt: skip
def test_what_is_told_twice_is_an_error(files: dict[str, bytes | str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="twice"):
        read(folder(tmp_path, files))
