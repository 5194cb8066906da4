"""Atomic writes: whatever fails, the old content stays and nothing is left aside."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from luban.core import files
from luban.core.errors import CapacityError, DataError, RunError, disk_error
from luban.core.files import folder_atomic, sha256_of, write_atomic, write_json


def raising(number: int) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_and_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b.txt", "鲁班\n")
    write_atomic(tmp_path / "a" / "c.bin", b"\x00\xff")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "鲁班\n".encode()
    assert names(tmp_path / "a") == ["b.txt", "c.bin"]


def test_json_is_readable_utf8(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"名": [1, 2.5, None]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "名" in text
    assert json.loads(text) == {"名": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, CapacityError),
        (errno.EDQUOT, CapacityError),
        (errno.EACCES, RunError),
        (errno.EROFS, RunError),
    ],
)
@pytest.mark.parametrize("place", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.open"])
def test_a_failed_write_leaves_the_old_file(
    place: str, number: int, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomic(tmp_path / "a.txt", "old")
    with monkeypatch.context() as patch:
        patch.setattr(place, raising(number))
        with pytest.raises(kind) as error:
            write_atomic(tmp_path / "a.txt", "new")
    assert str(tmp_path / "a.txt") in str(error.value)
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with folder_atomic(tmp_path / "model") as folder:
        (folder / "part").mkdir()
        (folder / "part" / "a.txt").write_text("1")
        assert names(tmp_path) != ["model"]
        assert not (tmp_path / "model").exists()
    assert names(tmp_path) == ["model"]
    assert (tmp_path / "model" / "part" / "a.txt").read_text() == "1"


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with folder_atomic(tmp_path / "model") as folder:
            (folder / f"{content}.txt").write_text(content)
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["new.txt"]


@pytest.mark.parametrize("error", [DataError("bad row"), KeyboardInterrupt(), ValueError("x")])
def test_an_exception_inside_leaves_things_as_they_were(
    error: BaseException, tmp_path: Path
) -> None:
    with folder_atomic(tmp_path / "model") as folder:
        (folder / "old.txt").write_text("old")

    def fail() -> None:
        with folder_atomic(tmp_path / "model") as folder:
            (folder / "new.txt").write_text("new")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["old.txt"]


@pytest.mark.parametrize("place", ["os.fsync", "pathlib.Path.mkdir"])
def test_a_full_disk_inside_a_folder(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with folder_atomic(tmp_path / "model") as folder:
        (folder / "old.txt").write_text("old")

    def fill() -> None:
        with folder_atomic(tmp_path / "model") as folder:
            (folder / "new.txt").write_text("new")

    with monkeypatch.context() as patch:
        patch.setattr(place, raising(errno.ENOSPC))
        with pytest.raises(CapacityError, match="disk is full"):
            fill()
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["old.txt"]


def test_a_really_full_disk(tmp_path: Path) -> None:
    """The operating system itself refuses: /dev/full takes nothing."""
    if not Path("/dev/full").is_char_device():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError, match="No space") as error:
        Path("/dev/full").write_bytes(b"x")
    assert isinstance(disk_error(error.value, tmp_path), CapacityError)


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RunError, match="cannot write here"):
        write_atomic(tmp_path / "runs" / "demo" / "a.txt", "x")
    with pytest.raises(RunError, match="cannot write here"), folder_atomic(tmp_path / "runs" / "m"):
        pass


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_a_kill_at_any_moment_leaves_one_whole_version(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom luban.core.files import write_atomic\n"
        "for n in range(10**9):\n    write_atomic(Path(sys.argv[1]), str(n % 10) * 200_000)\n"
    )
    target = tmp_path / "a.txt"
    for wait in (0.02, 0.05, 0.08):
        process = subprocess.Popen([sys.executable, "-c", code, str(target)])
        while not target.exists():
            time.sleep(0.005)
        time.sleep(wait)
        process.kill()
        process.wait()
        text = target.read_text()
        assert len(text) == 200_000
        assert len(set(text)) == 1


def test_temporary_folders_of_killed_processes_are_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("luban-mine", ".luban-mine", ".other.4.tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / ".luban-link.4.tmp").symlink_to(tmp_path / "luban-mine")
    code = (
        "import os, signal\n"
        "from luban.core.files import temporary_folder\n"
        "with temporary_folder() as folder:\n"
        "    (folder / 'part').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    before = [".luban-link.4.tmp", ".luban-mine", ".other.4.tmp", "luban-mine"]
    assert len(names(tmp_path)) == len(before) + 1
    with files.temporary_folder() as folder:
        (folder / "part").write_text("half")
        with files.temporary_folder():
            assert (folder / "part").exists(), "its maker lives"
        assert names(tmp_path) == sorted([*before, folder.name])
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("262144 requested and 16352 written"),  # numpy
        shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a' -> 'b'")]),
        Exception("No space left on device (os error 28)"),  # tokenizers
        SafetensorError("Error while serializing: I/O error: Disk quota exceeded (os error 122)"),
    ],
)
def test_every_way_to_tell_of_a_full_disk_is_understood(error: Exception, tmp_path: Path) -> None:
    with (
        pytest.raises(CapacityError, match="the disk is full"),
        folder_atomic(tmp_path / "folder"),
    ):
        raise error
    with pytest.raises(CapacityError), files.temporary_folder(tmp_path):
        raise error
    assert names(tmp_path) == []


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), folder_atomic(tmp_path / "folder"):
        raise ZeroDivisionError
    with pytest.raises(FileExistsError), files.temporary_folder(tmp_path):
        raise FileExistsError
