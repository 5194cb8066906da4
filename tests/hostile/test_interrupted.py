"""Commands that are killed, or run out of disk: the same command heals, and nothing differs."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hostile.forked import Forks
from tests.hostile.lives import FAMILIES, VERBS, Life

#: Kills, and full disks, of all families together under ``make torture``.
KILLS = int(os.environ.get("LUBAN_KILLS", "204"))
DISKS = int(os.environ.get("LUBAN_DISKS", "108"))
_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
_PAGE = 4096


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Forks, Path]]:
    """A warm process, and a folder: where the system allows it, a disk of its own in memory."""
    folder = tmp_path_factory.mktemp("disk")
    try:
        subprocess.run([*_NAMESPACE, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        with Forks() as forks:
            yield forks, folder
        return
    with Forks(*_NAMESPACE) as forks:
        forks.shell(f"mount -t tmpfs -o size=256m none {folder}")
        yield forks, Path(f"/proc/{forks.pid}/root{folder}")


@pytest.fixture(scope="module")
def one_life(small_disk: tuple[Forks, Path], samples: Path) -> Life:
    forks, folder = small_disk
    return Life.lived("text-generation", folder / "life", samples, forks, VERBS[:-1])


def killed_and_healed(life: Life, verb: str, at: float) -> list[str]:
    """Kill a verb at a share of its time, let the same command heal it; return what differs."""
    here = life.begin(verb)
    while (ended := life.do(verb, here, at * life.seconds[verb])).code == 0:
        here, at = life.begin(verb), 0.8 * at  # it was faster this time
    assert ended.code == -signal.SIGKILL, ended.said
    return _healed(life, verb, here)


def filled_and_healed(life: Life, verb: str, at: float) -> list[str]:
    """Fill the disk when a verb has written a share of its bytes; return what is wrong then."""
    here, ballast = life.begin(verb), life.folder / "ballast"
    disk = os.statvfs(life.folder)
    left = int(at * life.bytes[verb]) // _PAGE * _PAGE
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - left)
    ended = life.do(verb, here)
    ballast.unlink()
    if ended.code not in (0, 2) or "Traceback" in ended.said:
        return [ended.said]
    if ended.code == 2 and ended.said.count("the disk is full") != 1:
        return [ended.said]
    life.full += ended.code == 2
    return _healed(life, verb, here)


def _healed(life: Life, verb: str, here: Path) -> list[str]:
    healed = life.do(verb, here)
    return [healed.said] if healed.code else life.differences(verb, here)


def wrong(
    life: Life,
    interrupt: Callable[[Life, str, float], list[str]],
    verbs: tuple[str, ...],
    count: int,
    seed: str,
) -> list[str]:
    """Interrupt verbs one after the other at random moments; return what differed."""
    moments, lines = random.Random(seed), []
    for number in range(count):
        verb, at = verbs[number % len(verbs)], moments.random()
        found = interrupt(life, verb, at)
        lines += [f"{seed}: {interrupt.__name__}: {verb} at {at:.4f}: {line}" for line in found]
    return lines


def test_kills_at_random_moments_heal(one_life: Life) -> None:
    assert wrong(one_life, killed_and_healed, ("train", "export", "prepare", "card"), 4, "0") == []


def test_full_disks_heal(one_life: Life) -> None:
    if not _is_small(one_life):
        pytest.skip("there is no disk to fill: user namespaces are not allowed")
    assert wrong(one_life, filled_and_healed, ("train", "export"), 2, "0") == []
    assert one_life.full > 0


def _is_small(life: Life) -> bool:
    return shutil.disk_usage(life.folder).total <= 256 << 20


@pytest.mark.torture
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("family", FAMILIES)
def test_many_kills_and_full_disks_heal(
    family: str, small_disk: tuple[Forks, Path], samples: Path
) -> None:
    forks, folder = small_disk
    life = Life.lived(family, folder / family, samples, forks)
    lines = wrong(life, killed_and_healed, VERBS, KILLS // len(FAMILIES), family)
    if _is_small(life):
        lines += wrong(life, filled_and_healed, VERBS, DISKS // len(FAMILIES), family)
        lines += [] if life.full else [f"{family}: no disk was full"]
    shutil.rmtree(life.folder)
    print(f"{family}: {KILLS // len(FAMILIES)} kills, {life.full} full disks, {len(lines)} faults")
    assert lines == []
