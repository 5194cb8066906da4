"""All public sets: rows read = rows kept + dropped + set apart, as counting lines of files says.

The counts go through the files as their formats are written down, with the standard library alone.
"""

from __future__ import annotations

import csv
import gzip
import json
import struct
import tarfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from luban.core.contracts import SetApart, Source
from luban.data.dataset import Data

RECIPES = Path(__file__).parents[2] / "recipes"
Count = Callable[[Path], int]


def text_of(folder: Path, name: str) -> str:
    path = folder / name
    if not path.exists():
        path = folder / f"{name}.gz"
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return data.decode("utf-8")


def lines(*names: str) -> Count:
    """Count lines that are not blank."""
    return lambda folder: sum(
        bool(line.strip()) for name in names for line in text_of(folder, name).split("\n")
    )


def table(name: str, header: int) -> Count:
    """Count the rows of a CSV after its header."""
    return lambda folder: len(list(csv.reader(text_of(folder, name).splitlines(True)))) - header


def listed(*names: str) -> Count:
    """Count the items of JSON arrays."""
    return lambda folder: sum(len(json.loads(text_of(folder, name))) for name in names)


def questions(*names: str) -> Count:
    """Count questions, as SQuAD nests them."""

    def within(value: Any) -> int:
        if isinstance(value, list):
            return sum(map(within, value))
        if isinstance(value, dict):
            return "question" in value or sum(map(within, value.values()))
        return 0

    return lambda folder: sum(within(json.loads(text_of(folder, name))) for name in names)


def sentences(*names: str) -> Count:
    """Count runs of lines that are not blank."""

    def within(text: str) -> int:
        blank = [True, *(not line.strip() for line in text.split("\n"))]
        return sum(before and not now for before, now in pairwise(blank))

    return lambda folder: sum(within(text_of(folder, name)) for name in names)


def packed(suffix: str, *names: str) -> Count:
    """Count files in archives."""

    def within(path: Path) -> int:
        with tarfile.open(path) as archive:
            return sum(
                name.endswith(suffix) and not Path(name).name.startswith(".")
                for name in archive.getnames()
            )

    return lambda folder: sum(within(folder / name) for name in names)


def idx(*names: str) -> Count:
    """Count items by the heads of IDX files."""
    return lambda folder: sum(
        struct.unpack(">I", gzip.decompress((folder / name).read_bytes())[4:8])[0] for name in names
    )


ONE: Count = lambda folder: 1  # noqa: E731
DEMO = [f"{kind}_{language}_demo.json" for kind in ("alpaca", "dpo") for language in ("en", "zh")]
SSTS = [f"stsa.binary.{part}" for part in ("train", "dev", "test")]
#: By folder: the sets of the catalogue, or a source of files in it, and how its rows are counted.
SETS: Mapping[str, Mapping[str, Count]] = {
    "ag-news": {"ag-news": table("test.csv", 0)},
    "bccd": {"bccd": packed(".xml", "BCCD.tar")},
    "cifar10-jpeg": {"cifar10-jpeg": packed((".jpg"), "train.tar.gz", "test.tar.gz")},
    "cmrc2018-dev": {"cmrc2018-dev": questions("cmrc2018_dev.json")},
    "csl": {
        "csl-titles": lines("ts.dev.tsv"),
        "csl-fields": lines("cls_ctg.train.tsv", "cls_ctg.dev.tsv"),
    },
    "fashion-mnist": {
        "fashion-mnist": idx("train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
    },
    "fsdd": {"fsdd": packed(".wav", "recordings-4-speakers.tar")},
    "gsm8k": {"gsm8k": lines("train.jsonl")},
    "instruct-demo": {
        "instruct-demo": listed(*DEMO[:2]),
        "instruct-demo-en": listed(DEMO[0]),
        "instruct-demo-zh": listed(DEMO[1]),
        "{name: json, path: dpo_en_demo.json.gz}": listed(DEMO[2]),
        "{name: json, path: dpo_zh_demo.json.gz}": listed(DEMO[3]),
    },
    "llm-eval-mc": {
        "arc-easy": lines("arc_easy.jsonl"),
        "copa": lines("copa.jsonl"),
        "openbook-qa": lines("openbook_qa.jsonl"),
        "winograd-wsc": lines("winograd_wsc.jsonl"),
    },
    "multi30k-en-de": {"multi30k-en-de": lines("train.de", "val.de", "test_2016_flickr.de")},
    "names": {"names": lines("names.txt")},
    "presidio-pii": {
        "{name: json, path: synth_dataset_v2.json.gz}": listed("synth_dataset_v2.json")
    },
    "resume-ner": {
        "resume-ner": sentences("train.char.bmes", "dev.char.bmes", "test.char.bmes"),
    },
    "sanguo": {"sanguo": ONE},
    "scitldr-a": {"scitldr-a": lines("train.jsonl", "dev.jsonl", "test.jsonl")},
    "songci": {"songci": listed(*(f"ci.song.{n}.json" for n in range(0, 22_000, 1_000)))},
    "speech-sentences": {"speech-sentences": lines("ljspeech-metadata.csv", "wenet-text.txt")},
    "squad11-dev": {"squad11-dev": questions("train.json", "test.json")},
    "sst2": {"sst2": lines(*SSTS)},
    "tatoeba-en-zh": {"tatoeba-en-zh": lines("train.tsv", "test.tsv")},
    "thucnews-titles": {"thucnews-titles": lines("dev.txt", "test.txt")},
    "tinyshakespeare": {"tinyshakespeare": ONE},
    "waimai-10k": {"waimai-10k": table("waimai_10k.csv", 1)},
    "wnut17": {
        "wnut17": sentences("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")
    },
}
#: Long texts come in pieces, which are counted as the one document that they are.
PIECES = ("sanguo", "tinyshakespeare")


def recipes_of(name: str) -> list[dict[str, Any]]:
    """Return the section ``data`` of each recipe for a set."""
    found = [yaml.safe_load(path.read_text())["data"] for path in sorted(RECIPES.glob("*.yaml"))]
    return [data for data in found if isinstance(data["source"], dict)
            and data["source"].get("dataset") == name]  # fmt: skip


def test_every_set_is_counted(luban_data: Path) -> None:
    assert {path.name for path in luban_data.iterdir() if path.is_dir()} == SETS.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "name"), [(f, name) for f, sets in SETS.items() for name in sets]
)
def test_rows_read_are_all_that_a_set_holds(
    folder: str, name: str, luban_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUBAN_DATA", str(luban_data))
    count = SETS[folder][name](luban_data / folder)
    fields: dict[str, Any] = {"name": "catalogue", "dataset": name}
    if name.startswith("{"):
        fields = yaml.safe_load(name)
        fields["path"] = str(luban_data / folder / fields["path"])
    source = Source.from_dict(fields)
    entries = [entry for split in source.splits() for entry in source.read(split)]
    apart = sum(isinstance(entry, SetApart) for entry in entries)
    pieces = len(entries)
    if name in PIECES:
        entries = [entry for entry in entries if entry["_first"]]
    assert len(entries) == count
    for data in [{"source": fields}, *recipes_of(name)]:
        found = Data.from_dict(data)
        survey = found.survey()
        kept = sum(1 for split in found.available_splits() for _ in found.records(split))
        dropped = survey.rows - survey.kept - len(survey.apart)
        assert (survey.rows, len(survey.apart)) == (pieces, apart)
        acts = [act for tally in survey.tallies for act in tally.counts.items()]
        assert dropped == sum(times for act, times in acts if act.startswith("dropped"))
        if found.split_by() != "position":  # which cuts records in two
            assert survey.kept == kept
        print(f"{name}: {count:,} = {survey.kept:,} + {dropped:,} + {len(survey.apart):,}")
