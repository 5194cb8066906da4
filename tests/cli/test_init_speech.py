"""First recipes for corpora of speech as they are handed out, and what is read of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from luban.core.contracts import SetApart
from luban.core.errors import DataError
from luban.data.media.media_files import Media
from luban.data.sources import files
from luban.init.inspection import guess
from luban.prediction.inputs import Files
from luban.recipe import Recipe
from tests.life import done, luban

WORDS = ("one", "two", "three", "four")
COUNT = 12


def recording(path: str, seconds: float = 0.5) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path)).normal(0, 0.1, int(8000 * seconds))
    soundfile.write(path, noise, 8000)


def said(number: int) -> str:
    return f'{WORDS[number % 4]} "and" {WORDS[number // 4]}, {number}.'


def common_voice() -> str:
    """Tables by split without quoting, and others beside them; `validated` is no split."""
    for split, numbers in (("train", range(8)), ("dev", (8, 9)), ("test", (10, 11))):
        rows = [f"{n}\tvoice_{n}.mp3\t{said(n)}" for n in numbers]
        for number in numbers:
            recording(f"cv/clips/voice_{number}.mp3")
        table = "\n".join(["client_id\tpath\tsentence", *rows, ""])
        Path(f"cv/{split}.tsv").write_text(table)
        Path("cv/validated.tsv").write_text(table)
    Path("cv/other.tsv").write_text("client_id\tpath\tsentence\n")
    return "cv"


def ljspeech() -> str:
    """Bars without a header or quoting; names without suffix; the text as written, and as read."""
    for number in range(COUNT):
        recording(f"LJSpeech/wavs/LJ-{number:03}.wav")
    rows = [f"LJ-{n:03}|{said(n)}|{said(n)}" for n in range(COUNT)]
    Path("LJSpeech/metadata.csv").write_text("\n".join([*rows, ""]))
    return "LJSpeech"


def aishell() -> str:
    """Transcripts in one file far from the recordings; folders called by splits."""
    rows = []
    for number in range(COUNT):
        split = ("train", "train", "dev", "test")[number % 4]
        recording(f"aishell/wav/{split}/S{number % 4}/BAC{number}.wav")
        rows.append(f"BAC{number} {said(number)}")
    Path("aishell/transcript").mkdir()
    Path("aishell/transcript/v0.8.txt").write_text("\n".join(["BACX of none", *rows, ""]))
    Path("aishell/README.txt").write_text("BAC1 is a recording.\nIt is one of many.\n" * 20)
    return "aishell"


def nemo(absolute: bool = False) -> str:
    """JSON Lines that are called JSON; names from the manifest on, or from the root."""
    for split, numbers in (("train", range(8)), ("test", range(8, COUNT))):
        rows = []
        for number in numbers:
            recording(f"nemo/audio/{number}.wav")
            root = f"{Path('nemo').absolute()}/" if absolute else ""
            name = f"{root}audio/{number}.wav"
            rows.append({"audio_filepath": name, "duration": 0.5, "text": said(number)})
        Path(f"nemo/{split}_manifest.json").write_text("\n".join(map(json.dumps, rows)))
    return "nemo"


def far_nemo() -> str:
    """A manifest that names files of another place."""
    nemo(absolute=True)
    Path("lists").mkdir()
    rows = [p.read_text().strip() for p in sorted(Path("nemo").glob("*.json"), reverse=True)]
    Path("lists/all.jsonl").write_text("\n".join(rows))
    return "lists/all.jsonl"


CORPORA: dict[str, tuple[Callable[[], str], str, tuple[int, ...]]] = {
    "common voice": (common_voice, "csv", (8, 2, 2)),
    "ljspeech": (ljspeech, "csv", ()),
    "aishell": (aishell, "files", (6, 3, 3)),
    "nemo": (nemo, "jsonl", (8, 0, 4)),
    "nemo, absolute": (lambda: nemo(absolute=True), "jsonl", (8, 0, 4)),
    "nemo, elsewhere": (far_nemo, "jsonl", ()),
}


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_corpus_is_read_as_it_lies(corpus: str, here: Path) -> None:
    make, source, sizes = CORPORA[corpus]
    done("init", make(), "-o", "new.yaml")
    assert len(Path("new.yaml").read_text().splitlines()) < 30
    recipe = Recipe.read(Path("new.yaml"))
    data = recipe.data
    assert (recipe.task.name, data.source.name) == ("speech-recognition", source)
    splits = data.source.splits()
    found = {split: list(data.source.read(split)) for split in splits}
    every = [record for part in found.values() for record in part]
    records = [record for record in every if not isinstance(record, SetApart)]
    # A line of AISHELL's transcripts has no recording: it is set apart, not lost.
    assert len(every) - len(records) == (corpus == "aishell")
    assert sorted(str(record["text"]) for record in records) == sorted(map(said, range(COUNT)))
    for record in records:
        number = int("".join(c for c in Path(str(record["audio"])).stem if c.isdigit()))
        assert record["text"] == said(number)
        assert isinstance(record["audio"], Media)
    if sizes:
        held = ("train", "validation", "test")
        kept = {
            split: [one for one in part if not isinstance(one, SetApart)]
            for split, part in found.items()
        }
        assert [len(kept.get(split, ())) for split in held] == list(sizes)
    recipe.task.learn(records).encode(records[0])


def test_speech_commands_has_lists_of_splits_and_noise(here: Path) -> None:
    for number in range(20):
        recording(f"sc/{WORDS[number % 2]}/{number}_nohash_0.wav")
    recording("sc/_background_noise_/running tap.wav", 70)
    Path("sc/testing_list.txt").write_text("one/0_nohash_0.wav\ntwo/3_nohash_0.wav\n")
    Path("sc/validation_list.txt").write_text("one/2_nohash_0.wav\n")
    found = guess("sc")
    assert found.facts["records"] == 20
    source = files.Files(path="sc")
    assert source.splits() == ("train", "validation", "test")
    names = {s: sorted(r["audio"].name for r in source.read(s)) for s in source.splits()}
    assert [len(names[split]) for split in source.splits()] == [17, 1, 2]
    assert names["test"] == ["sc/one/0_nohash_0.wav", "sc/two/3_nohash_0.wav"]
    assert {record["label"] for record in source.read("train")} == {"one", "two"}
    assert "_background_noise_" in source.facts()["skipped files"]


def test_a_line_that_happens_to_begin_with_a_name_is_no_transcript(here: Path) -> None:
    for number in range(9):
        recording(f"sounds/{number % 3}/{WORDS[number % 4]}{number}.wav")
    Path("sounds/notes").mkdir()
    lines = ["one0 was cut.", *(f"Nothing else {i}." for i in range(9))]
    Path("sounds/notes/notes.txt").write_text("\n".join(lines))
    source = files.Files(path="sounds")
    assert not any("text" in record for record in source.read("train"))
    assert "1 .txt" in source.facts()["skipped files"]


def test_names_with_suffixes_are_known_too(here: Path) -> None:
    for number in range(4):
        recording(f"a/wav/{number}.wav")
    Path("a/text.txt").write_text("\n".join(f"{n}.wav\tsaid {n}" for n in range(4)))
    told = {r["audio"].name: r["text"] for r in files.Files(path="a").read("train")}
    assert told == {f"a/wav/{n}.wav": f"said {n}" for n in range(4)}


@pytest.mark.parametrize("name", ["../out.wav", "/etc/passwd", "audio/../../out.wav"])
def test_a_name_never_leads_out_of_its_folder(name: str, here: Path) -> None:
    nemo()
    recording("out.wav")
    row: dict[str, Any] = {"audio_filepath": name, "text": "x"}
    Path("nemo/train_manifest.json").write_text(json.dumps(row))
    source: dict[str, Any] = {"name": "jsonl", "path": "nemo/train_manifest.json"}
    source |= {"fields": {"audio": "audio_filepath"}, "media": {"audio": ""}}
    Path("r.yaml").write_text(
        json.dumps(
            {
                "name": "r",
                "data": {"source": source},
                "task": {"name": "speech-recognition"},
                "model": {"name": "conformer"},
                "train": {"max_steps": 1},
            }
        )
    )
    told = luban("prepare", "r.yaml")
    assert told.code == 2
    assert "names no file" in told.err


def test_recordings_of_telephones_are_to_be_converted(here: Path) -> None:
    Path("phone").mkdir()
    for name in ("a.m4a", "B.M4A"):
        Path("phone", name).write_bytes(b"\0\0\0\x20ftypM4A ")
    told = luban("init", "phone")
    assert told.code == 2
    assert "ffmpeg" in told.err
    with pytest.raises(DataError, match=r"names that end in \.wav"):
        list(Files("phone").rows("audio"))
