"""Two processes under torchrun agree with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from luban.core.errors import CapacityError, RunError
from luban.engine.world import ENVIRONMENT, World, _buckets
from tests.engine import toy

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that two processes under torchrun wrote into; one start serves all tests."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    for _ in range(2):
        folder = tmp_path_factory.mktemp("ranks")
        done = subprocess.run(
            [*command, "--standalone", "-m", "tests.engine.ranks", str(folder)],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
            capture_output=True,
            text=True,
            timeout=300,
        )
        # torch's own threads sometimes abort a process as it exits; anything else is ours.
        if "terminate called without an active exception" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def found(ranks: Path) -> list[dict[str, Any]]:
    return [json.loads((ranks / f"found-{rank}.json").read_text()) for rank in range(2)]


def test_two_processes_know_who_they_are(found: list[dict[str, Any]]) -> None:
    assert [(f["rank"], f["size"], f["mesh"]) for f in found] == [(0, 2, ["dp"]), (1, 2, ["dp"])]
    assert [f["share"] for f in found] == [[0, 1], [2, 3, 4]]


def test_two_processes_add_up_and_agree(found: list[dict[str, Any]]) -> None:
    for f in found:
        assert f["sum_"] == [[[3.0, 3.0]] * 3, [1.0] * 5]
        assert f["sum"] == [1.0, 20.0]
        assert f["from_main"] == 5.0
        assert f["copied"] == [7.0] * 4
        assert f["any"] == [True, False]
        assert f["gather"] == [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
        assert f["gather_empty"] == [2, 3]


def test_a_process_without_examples_takes_part(found: list[dict[str, Any]]) -> None:
    alone = [s.loss for s in toy.train(toy.state_of("sgd"), toy.plan_of(6), batch_size=1)]
    for f in found:
        assert f["curve"] == pytest.approx(alone, abs=1e-5)


def test_all_processes_stop_when_the_main_one_cannot_save(found: list[dict[str, Any]]) -> None:
    assert "cannot write here" in found[0]["failure"]
    assert "main process could not save" in found[1]["failure"]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_two_processes_give_the_curve_of_one(optimizer: str, ranks: Path, tmp_path: Path) -> None:
    def curve(folder: Path, rank: int) -> list[dict[str, float]]:
        lines = (folder / f"curve-{rank}.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    toy.main(tmp_path / "alone", optimizer, 15, dropout=0.0)
    assert curve(ranks / optimizer, 0) == curve(ranks / optimizer, 1)
    both = zip(curve(tmp_path / "alone", 0), curve(ranks / optimizer, 0), strict=True)
    for alone, together in both:
        assert together == pytest.approx(alone, abs=1e-5)


def test_one_process_needs_no_group() -> None:
    world = World.start("cpu")
    tensors = [torch.ones(2)]
    world.sum_(tensors)
    world.barrier()
    world.close()
    assert (world.rank, world.size, world.mesh, world.is_main) == (0, 1, None, True)
    assert tensors[0].tolist() == [1, 1]
    assert world.gather(tensors[0]) is tensors[0]
    assert not torch.distributed.is_initialized()


def test_an_incomplete_environment_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(RunError, match=r"RANK.*not set[\s\S]*torchrun"):
        World.start("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_that_is_not_there_is_explained() -> None:
    with pytest.raises(CapacityError, match="no CUDA device"):
        World.start("cuda")


@pytest.mark.parametrize("total", [0, 1, 5, 12])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shares_cover_everything_once_and_evenly(total: int, size: int) -> None:
    shares = [World(rank, size).share(total) for rank in range(size)]
    assert [i for share in shares for i in share] == list(range(total))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_buckets_keep_order_and_types() -> None:
    small, big = torch.zeros(3), torch.zeros(30 * 2**18)
    other = torch.zeros(2, dtype=torch.float64)
    buckets = list(_buckets([small, small, big, small, other, small]))
    assert [len(bucket) for bucket in buckets] == [2, 1, 1, 1, 1]
