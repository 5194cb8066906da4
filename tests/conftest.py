"""What every test shares: the data folder, one torch thread, no network."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DO_NOT_TRACK"] = "1"

import pytest
from hypothesis import settings

from luban.core import registry

# A busy machine is slow, not wrong.
settings.register_profile("luban", deadline=None)
settings.load_profile("luban")


@pytest.fixture(scope="session")
def luban_data() -> Path:
    """The folder of real data sets; tests that need it are skipped elsewhere."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LUBAN_DATA", beside))
    if not (folder / "tinyshakespeare").is_dir():
        pytest.skip(f"real data sets are not at {folder}; set LUBAN_DATA")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the test works."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep encoded data and compiled code out of the user's cache."""
    os.environ["LUBAN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with a small file of every format; look, but do not touch."""
    from tests.contracts.samples import write_samples

    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    return folder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that leaves this machine."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0])
            if not (host.startswith("127.") or host in ("localhost", "::1")):
                raise OSError(f"a test tried to reach {host}")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="session")
def whole_life(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with text, recipe and finished run; look, but do not touch."""
    from tests import life

    folder = tmp_path_factory.mktemp("life")
    life.write_life(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        life.done("run", "tiny.yaml")
    return folder


@pytest.fixture
def my_life(whole_life: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished run, and the working directory there; its run is ``runs/tiny``."""
    shutil.copytree(whole_life, tmp_path / "life")
    monkeypatch.chdir(tmp_path / "life")
    return tmp_path / "life"


@pytest.fixture(autouse=True)
def _forget_plugins() -> Iterator[None]:
    """Let no test see the plug-ins of another."""
    before = list(sys.path)
    yield
    sys.path[:] = before
    registry.forget_plugins()
