"""Archives that are damaged, or lie."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from luban.core.errors import DataError
from luban.data.files.archives import members


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
