"""Archives that are damaged, or lie."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from luban.core.errors import DataError
from luban.data.files.archives import members
from tests.data.media_files import tar


def test_a_zip_that_lies_about_a_size_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(1_000_000))
    data = bytearray(path.read_bytes())
    size = data.rfind(b"PK\x01\x02") + 24  # of the unpacked file, in the central directory
    data[size : size + 4] = bytes(4)
    path.write_bytes(data)
    [member] = members(path)
    assert member.media().size <= 1


@pytest.mark.parametrize(("suffix", "mode"), [(".tar.gz", "w:gz"), (".tar.xz", "w:xz")])
def test_a_packed_tar_that_ends_within_a_file_is_damaged(
    tmp_path: Path, suffix: str, mode: str
) -> None:
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).bytes(300_000)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        info = tarfile.TarInfo("a.png")
        info.size = len(noise)
        tar.addfile(info, io.BytesIO(noise))
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(DataError, match="this archive is damaged") as error:
        [member.media() for member in members(path)]
    assert error.value.where == path


@pytest.mark.parametrize(("suffix", "mode"), [(".tar.gz", "w:gz"), (".tbz2", "w:bz2")])
def test_a_packed_tar_is_unpacked_once_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, mode: str
) -> None:
    monkeypatch.setenv("LUBAN_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    files = {f"{number}.png": rng.bytes(400_000) for number in range(4)}
    path = tar(tmp_path / f"a{suffix}", files, mode)

    def read() -> dict[str, bytes]:
        return {member.name: member.media().read() for member in members(path)}

    def kept() -> list[Path]:
        return sorted((tmp_path / "cache").glob("archives/*/*.tar"))

    first = read()
    assert (first, kept()) == (files, [])  # what is read once is not worth it
    assert read() == files
    (plain,) = kept()
    wheres = [member.media().name for member in members(path)]
    assert wheres == [f"{path}/{name}" for name in files]
    assert all(member.media().source == plain for member in members(path))
    plain.unlink()  # the cache may be cleared at any time
    assert read() == files


def test_a_damaged_copy_of_a_packed_tar_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUBAN_CACHE", str(tmp_path / "cache"))
    files = {"a.png": np.random.default_rng(1).bytes(1_500_000)}
    path = tar(tmp_path / "a.tar.gz", files, "w:gz")
    for _ in range(2):
        assert [member.media().read() for member in members(path)] == list(files.values())
    (plain,) = (tmp_path / "cache").glob("archives/*/*.tar")
    damaged = bytearray(plain.read_bytes())
    damaged[1_000_000] ^= 1
    plain.write_bytes(damaged)
    copy = tmp_path / "again.tar.gz"  # another process would look for the same content
    copy.write_bytes(path.read_bytes())
    for _ in range(2):
        assert [member.media().read() for member in members(copy)] == list(files.values())
