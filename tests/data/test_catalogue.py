"""The catalogue: named sets, found here or fetched from a local server, never unasked."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from luban.core.contracts import Source
from luban.core.errors import DataError
from luban.data.files import download
from luban.data.files.download import Entry, catalogue, unpacked_sha256
from luban.data.files.records import own_fields

TEXT = "天地玄黄\n"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server on this machine that stands for raw.githubusercontent.com."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    server = HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("LUBAN_MIRROR", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("LUBAN_DATA", str(tmp_path / "data"))
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a set to the catalogue."""
    file = {
        "name": "a.txt",
        "url": "https://raw.githubusercontent.com/o/r/c/a.txt",
        "sha256": hashlib.sha256(TEXT.encode()).hexdigest(),
    }
    entry = Entry.from_dict(
        {"title": "T", "licence": "L", "address": "A", "read": {"name": "text"}, "files": [file]}
    )
    entries = {**catalogue(), "thousand": entry}
    monkeypatch.setattr(download, "catalogue", lambda: entries)


def source(**fields: Any) -> Source:
    return Source.from_dict({"name": "catalogue", "dataset": "thousand", **fields})


def test_nothing_is_fetched_unasked(mirror: Path) -> None:
    with pytest.raises(DataError, match=r"not on this machine[\s\S]*licence: L[\s\S]*download"):
        source().files()


def test_a_set_is_fetched_once(mirror: Path) -> None:
    (mirror / "o/r/c").mkdir(parents=True)
    (mirror / "o/r/c/a.txt").write_text(TEXT)
    fetched = source(download=True, options={"document": "line"})
    assert [r["text"] for r in fetched.read("train")] == [TEXT.strip()]
    assert fetched.facts() == {"title": "T", "licence": "L", "address": "A"}
    (mirror / "o/r/c/a.txt").unlink()
    assert [r["text"] for r in source().read("train")] == [TEXT]


def test_a_wrong_file_is_refused_and_not_kept(mirror: Path) -> None:
    (mirror / "o/r/c").mkdir(parents=True)
    (mirror / "o/r/c/a.txt").write_text("something else")
    with pytest.raises(DataError, match="not the one the catalogue knows"):
        source(download=True).files()
    with pytest.raises(DataError, match="not on this machine"):
        source().files()


def test_an_unreachable_server_is_named(mirror: Path) -> None:
    with pytest.raises(DataError, match="the download failed") as error:
        source(download=True).files()
    assert "127.0.0.1" in str(error.value.where)


def test_unknown_set_names_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'songci'"):
        source(dataset="song-ci").files()


def test_the_licence_is_shown_before_a_download(
    mirror: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="the download failed"):
        source(download=True).files()
    assert "T, licence: L\nfetching https://raw.githubusercontent.com" in capsys.readouterr().err


def test_a_changed_file_is_refused_unless_told_otherwise(mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "data/thousand").mkdir(parents=True)
    (tmp_path / "data/thousand/a.txt").write_text("changed")
    with pytest.raises(DataError, match=r"not the one the catalogue knows[\s\S]*verify: false"):
        source().files()
    assert [r["text"] for r in source(verify=False).read("train")] == ["changed"]


@pytest.mark.parametrize("name", ["squad11-dev", "tatoeba-en-zh"])
def test_a_set_that_no_server_has_says_so(mirror: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be fetched in this form[\s\S]*commit"):
        source(dataset=name, download=True).files()


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_entry_is_complete(name: str) -> None:
    entry = catalogue()[name]
    assert all("/" in file.url or entry.note for file in entry.files)
    for file in entry.files:
        assert not file.url or re.search(r"raw\.githubusercontent\.com/.*/[0-9a-f]{40}/", file.url)


#: Records of each split; the fields of each record; labels or tags; and the first test record.
SETS: dict[str, tuple[dict[str, int], str, int, dict[str, Any]]] = {
    "tinyshakespeare": ({"train": 5}, "text", 0, {}),
    "names": ({"train": 32_033}, "text", 0, {"text": "emma"}),
    "sanguo": ({"train": 3}, "text", 0, {}),
    "songci": ({"train": 21_050}, "text", 0, {}),
    "sst2": (
        {"train": 6_920, "validation": 872, "test": 1_821},
        "label text",
        2,
        {"text": "no movement , no yuks , not much of anything .", "label": "negative"},
    ),
    "waimai-10k": (
        {"train": 9_589, "test": 2_398},
        "label text",
        2,
        {"text": "很快，好吃，味道足，量大", "label": "positive"},
    ),
    "thucnews-titles": (
        {"train": 10_000, "test": 10_000},
        "label text",
        10,
        {"text": "词汇阅读是关键 08年考研暑期英语复习全指南", "label": "education"},
    ),
    "ag-news": (
        {"train": 6_080, "test": 1_520},
        "label text",
        4,
        {
            "text": "Fears for T N pension after talks\nUnions representing workers at Turner   "
            "Newall say they are 'disappointed' after talks with stricken parent firm Federal "
            "Mogul.",
            "label": "Business",
        },
    ),
    "wnut17": ({"train": 3_394, "validation": 1_009, "test": 1_287}, "tags tokens", 13, {}),
    "resume-ner": (
        {"train": 3_821, "validation": 463, "test": 477},
        "tags tokens",
        28,
        {"tokens": list("常建良，男，"), "tags": ["B-NAME", "M-NAME", "E-NAME", "O", "O", "O"]},
    ),
    "multi30k-en-de": (
        {"train": 29_000, "validation": 1_014, "test": 1_000},
        "source target",
        0,
        {
            "source": "A man in an orange hat starring at something.",
            "target": "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt.",
        },
    ),
    "tatoeba-en-zh": (
        {"train": 16_884, "test": 2_151},
        "source target",
        0,
        {"source": "Run.", "target": "你用跑的。"},
    ),
    "scitldr-a": ({"train": 1_992, "validation": 619, "test": 618}, "document summary", 0, {}),
    "csl-titles": (
        {"train": 800, "test": 200},
        "document summary",
        0,
        {"summary": "反向混淆理论与规则视角下的“非诚勿扰”案"},
    ),
    "csl-fields": (
        {"train": 8_000, "test": 1_000},
        "label text",
        13,
        {"text": "一种基于平方和优化的飞行器大角度机动镇定控制器设计方法", "label": "工学"},
    ),
    "squad11-dev": (
        {"train": 6_272, "validation": 582, "test": 1_147},
        "answers context id question title",
        0,
        {"id": "57271c235951b619008f860b"},
    ),
    "cmrc2018-dev": (
        {"train": 2_515, "test": 704},
        "answers context id question title",
        0,
        {"id": "DEV_1105_QUERY_0", "question": "信用额度指的是什么？"},
    ),
    "instruct-demo-en": (
        {"train": 999},
        "completion prompt",
        0,
        {"prompt": "Describe a process of making crepes."},
    ),
    "instruct-demo-zh": ({"train": 1_000}, "completion prompt", 0, {}),
    "gsm8k": ({"train": 7_473}, "completion prompt", 0, {}),
    "arc-easy": ({"train": 2_376}, "choices gold query", 0, {"gold": 0}),
    "copa": (
        {"train": 100},
        "choices gold query",
        0,
        {
            "query": "The man turned on the faucet, therefore",
            "choices": ["the toilet filled with water.", "water flowed from the spout."],
            "gold": 1,
        },
    ),
    "instruct-demo": ({"train": 1_999}, "input instruction output", 0, {}),
    "winograd-wsc": ({"train": 273}, "context_options continuation gold", 0, {"gold": 0}),
    "fashion-mnist": (
        {"train": 60_000, "test": 10_000},
        "image label",
        10,
        {"label": "Ankle boot"},
    ),
    "cifar10-jpeg": (
        {"train": 50_000, "test": 10_000},
        "image label",
        10,
        {"label": "airplane"},
    ),
    "bccd": ({"train": 205, "validation": 87, "test": 72}, "height image objects width", 0, {}),
    "fsdd": (
        {"train": 1_800, "test": 200},
        "audio label speaker take text",
        10,
        {"label": "0", "speaker": "jackson", "take": "0", "text": "zero"},
    ),
    "speech-sentences": (
        {"train": 10},
        "audio id text",
        0,
        {"id": "LJ001-0001"},
    ),
    "openbook-qa": ({"train": 500}, "choices gold query", 0, {"gold": 1}),
}


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_set_is_read_as_its_task_wants_it(
    name: str, luban_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUBAN_DATA", str(luban_data))
    found = source(dataset=name)
    digests = [unpacked_sha256(path) for path in found.files()]
    assert sorted(digests) == sorted(file.sha256 for file in catalogue()[name].files)
    sizes, fields, classes, known = SETS[name]
    records = {split: list(found.read(split)) for split in found.splits()}
    assert {split: len(rows) for split, rows in records.items()} == sizes
    last = records[found.splits()[-1]]
    own = " ".join(sorted(own_fields(last[0])))
    assert own == fields or (name == "songci" and "text" in own)
    assert {name: last[0][name] for name in known} == known
    named = {
        label
        for record in records["train"]
        for label in (record.get("tags", [record.get("label")]) if classes else ())
    }
    assert len(named) == classes
    if "answers" in fields:
        answers = [
            (a, r["context"]) for rows in records.values() for r in rows for a in r["answers"]
        ]
        stands = [c[a["start"] : a["start"] + len(a["text"])] == a["text"] for a, c in answers]
        assert all(ok == (a["start"] >= 0) for ok, (a, _) in zip(stands, answers, strict=True))
        assert len(stands) > 0.97 * len(answers)
