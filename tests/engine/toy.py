"""A small problem to train on; also a script that other tests start, kill and start again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import Example, Optimizer, Schedule, StoredView
from luban.engine.budget import Budget
from luban.engine.checkpoint import Checkpoints
from luban.engine.fit import Plan, State, Step, fit
from luban.engine.loader import Loader
from luban.engine.world import World
from luban.mechanisms.plain import Plain

SIZE, CONTEXT, VOCABULARY = 50, 6, 11


class Net(nn.Module):
    """Embedding, two matrices, a tied head: every sort of parameter that optimizers tell apart."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 8)
        self.up = nn.Linear(8, 16)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(16, 8, bias=False)
        self.norm = nn.LayerNorm(8)
        self.lm_head = nn.Linear(8, VOCABULARY, bias=False)
        self.lm_head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        x = x + self.down(self.dropout(torch.relu(self.up(x))))
        return self.lm_head(self.norm(x))  # type: ignore[no-any-return]


def examples(epoch: int = 0) -> list[Example]:
    """Sequences with a rule in them, of different lengths (so counts differ per example)."""
    generator = np.random.default_rng(0)
    found: list[Example] = []
    for _ in range(SIZE):
        start, length = generator.integers(VOCABULARY), generator.integers(2, CONTEXT + 1)
        ids = (start + 3 * np.arange(length + 1)) % VOCABULARY
        found.append({"ids": ids})
    return found


def collate(batch: Sequence[Example]) -> Batch:
    ids = torch.zeros(len(batch), CONTEXT, dtype=torch.int64)
    labels = torch.full((len(batch), CONTEXT), -100)
    for row, example in enumerate(batch):
        length = len(example["ids"]) - 1
        ids[row, :length] = torch.from_numpy(example["ids"][:-1])
        labels[row, :length] = torch.from_numpy(example["ids"][1:])
    return Batch({"ids": ids}, {"labels": labels})


def loss(model: nn.Module, batch: Batch) -> Losses:
    labels = batch.targets["labels"]
    logits = model(**batch.inputs).float()
    each = nn.functional.cross_entropy(logits.mT, labels, reduction="none")
    return Losses(each.sum(1), (labels != -100).sum(1))


def optimizer_of(name: str, model: nn.Module, **fields: Any) -> torch.optim.Optimizer:
    return made_of(name, **fields).build(list(model.named_parameters()))


def made_of(name: str, **fields: Any) -> Optimizer:
    """Return an optimizer with fields that each has; ``parts`` is of two that have them."""
    if name == "parts":
        members: dict[str, dict[str, Any]] = {
            "*bias": {"name": "sgd", "momentum": 0.9},
            "*": {"name": "adamw"},
        }
        fields = {"parts": {pattern: {**its, **fields} for pattern, its in members.items()}}
    return Optimizer.from_dict({"name": name, **fields})


def state_of(optimizer: str = "adamw", dropout: float = 0.0, **fields: Any) -> State:
    torch.manual_seed(0)
    model = Net(dropout)
    return State(model, optimizer_of(optimizer, model, **fields))


def plan_of(max_steps: int = 20, **fields: Any) -> Plan:
    schedule = Schedule.from_dict({"name": "cosine", "warmup_steps": 3})
    return Plan(loss, Plain(), schedule, Budget(max_steps=max_steps), **fields)


def loader_of(world: World | None = None, **fields: Any) -> Loader:
    options = {"batch_size": 12, **fields}
    return Loader(
        lambda epoch: StoredView(examples(epoch)),
        collate,
        Plain(),
        world=world or World(),
        **options,
    )


def train(state: State, plan: Plan, world: World | None = None, **fields: Any) -> Iterator[Step]:
    batches = loader_of(world, **fields).batches(state.step)
    return fit(state, batches, plan, world)


def main(
    folder: Path, optimizer: str, steps: int, dropout: float = 0.2, world: World | None = None
) -> None:
    """Train with a checkpoint after every third step, going on from the last one."""
    folder.mkdir(exist_ok=True)
    world = world or World()
    state = state_of(optimizer, dropout)
    checkpoints = Checkpoints(folder, {"optimizer": optimizer}, world)
    checkpoints.load(state)
    with (folder / f"curve-{world.rank}.jsonl").open("a") as log:
        for step in train(state, plan_of(steps, ema_decay=0.9), world):
            row = {"step": step.index, "loss": step.loss, "norm": step.grad_norm, "lr": step.lr}
            log.write(json.dumps(row) + "\n")
            log.flush()
            if step.index % 3 == 0:
                checkpoints.save(state)
    checkpoints.save(state)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
