"""What every process of a test world checks; started by torchrun from ``test_world.py``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from luban.core.errors import CapacityError, RunError
from luban.engine.checkpoint import Checkpoints
from luban.engine.world import World
from tests.engine import toy


def main(folder: Path) -> None:
    world = World.start("cpu")
    me = float(world.rank)
    mine = [torch.full((3, 2), me + 1), torch.full((5,), me, dtype=torch.float64)]
    world.sum_(mine)
    rows = torch.full((1 + 2 * world.rank, 2), me)
    empty = torch.zeros((0, 3)) if world.is_main else torch.ones((2, 3))
    copied = torch.full((4,), me + 7)
    world.copy_main_([copied])
    found: dict[str, Any] = {
        "rank": world.rank,
        "size": world.size,
        "mesh": None if world.mesh is None else world.mesh.mesh_dim_names,
        "sum_": [tensor.tolist() for tensor in mine],
        "sum": world.sum(me, 10.0),
        "from_main": world.from_main(me + 5),
        "copied": copied.tolist(),
        "any": [world.any_true(world.rank == 1), world.any_true(False)],
        "gather": world.gather(rows).tolist(),
        "gather_empty": world.gather(empty).shape,
        "share": list(world.share(5)),
    }
    state = toy.state_of("sgd")
    # One example per step for two processes: one of them always has nothing to do.
    found["curve"] = [s.loss for s in toy.train(state, toy.plan_of(6), world, batch_size=1)]
    found["failure"] = save_onto_a_full_disk(world, folder)
    for optimizer in ("adamw", "muon"):
        toy.main(folder / optimizer, optimizer, 15, 0.0, world)
    (folder / f"found-{world.rank}.json").write_text(json.dumps(found))
    world.close()


def save_onto_a_full_disk(world: World, folder: Path) -> str:
    """Only the main process can notice; all must stop."""
    if world.is_main:
        (folder / "file").write_text("in the way")
    world.barrier()
    try:
        Checkpoints(folder / "file" / "run", world=world).save(toy.state_of())
    except (RunError, CapacityError) as error:
        return error.what
    return "nothing raised"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
