"""The catalogue: named sets, found here or fetched from a local server, never unasked."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from luban.core.contracts import Source
from luban.core.errors import DataError
from luban.data import download
from luban.data.download import Entry, catalogue, unpacked_sha256

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


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_the_files_are_what_the_catalogue_says(
    name: str, luban_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUBAN_DATA", str(luban_data))
    found = source(dataset=name)
    digests = [unpacked_sha256(path) for path in found.files()]
    assert digests == [file.sha256 for file in catalogue()[name].files]
    assert next(found.read("train"))["text"]
