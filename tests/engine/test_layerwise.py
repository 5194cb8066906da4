"""Learning rates that fall with depth: which parameter gets which, and that it stays so."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from luban.core import registry
from luban.core.batch import Batch, Losses
from luban.core.contracts import Model, Optimizer, Schedule, Signature
from luban.engine.budget import Budget
from luban.engine.checkpoint import Checkpoints
from luban.engine.fit import Plan, State, fit
from luban.engine.layerwise import decay_by_layer
from luban.mechanisms.plain import Plain
from tests.engine import toy

DECAY, BLOCKS, RATE = 0.5, 3, 0.01
#: What each part of the model below gets of the full rate.
SHARES = {
    "stem": DECAY ** (BLOCKS + 1),
    "places": DECAY ** (BLOCKS + 1),
    "blocks.0": DECAY**3,
    "blocks.1": DECAY**2,
    "blocks.2": DECAY,
    "norm": 1.0,
    "head": 1.0,
}


class Deep(nn.Module):
    """A stem and positions, blocks of a matrix and a vector, a norm, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Embedding(7, 4)
        self.places = nn.Embedding(9, 4)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 7)

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.stem(input_ids) + self.places.weight[: input_ids.shape[-1]]
        for block in self.blocks:
            x = x + block(x).tanh()
        out: Tensor = self.head(self.norm(x))
        return out


def made(optimizer: str, decay: float = DECAY) -> State:
    torch.manual_seed(0)
    module = Deep()
    built = toy.optimizer_of(optimizer, module, learning_rate=RATE)
    decay_by_layer(built, module, decay)
    return State(module, built)


def rates(state: State, key: str = "lr") -> dict[str, float]:
    return {
        name: group[key] for group in state.optimizer.param_groups for name in group["param_names"]
    }


def share_of(name: str) -> float:
    return next(share for part, share in SHARES.items() if name.startswith(part))


@pytest.mark.parametrize("optimizer", registry.names("optimizers"))
def test_rates_by_depth(optimizer: str) -> None:
    plain, state = made(optimizer, 1.0), made(optimizer)
    whole, found = rates(plain, "initial_lr"), rates(state, "initial_lr")
    assert found.keys() == {name for name, _ in state.model.named_parameters()}
    for name, rate in found.items():
        assert rate == pytest.approx(whole[name] * share_of(name)), name


@pytest.mark.parametrize("optimizer", registry.names("optimizers"))
def test_every_parameter_is_in_one_group_with_its_settings(optimizer: str) -> None:
    plain, state = made(optimizer, 1.0), made(optimizer)
    held = [id(p) for group in state.optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in state.model.parameters())

    def settings(of: State) -> dict[str, dict[str, Any]]:
        skipped = ("params", "param_names", "lr", "initial_lr")
        return {
            name: {key: value for key, value in group.items() if key not in skipped}
            for group in of.optimizer.param_groups
            for name in group["param_names"]
        }

    assert settings(state) == settings(plain)


def loss(model: nn.Module, batch: Batch) -> Losses:
    logits = model(**batch.inputs)
    each = nn.functional.cross_entropy(logits.mT, batch.inputs["input_ids"], reduction="none")
    return Losses(each.sum(1), torch.full_like(each.sum(1), each.shape[1]))


BATCH = Batch({"input_ids": torch.arange(12).reshape(3, 4) % 7}, {})


def test_a_step_of_plain_descent_is_so_much_smaller() -> None:
    plain, state = made("sgd", 1.0), made("sgd")
    moves = []
    for one in (plain, state):
        before = {n: p.detach().clone() for n, p in one.model.named_parameters()}
        loss(one.model, BATCH).mean.backward()  # type: ignore[no-untyped-call]
        one.optimizer.step()
        moves.append({n: p.detach() - before[n] for n, p in one.model.named_parameters()})
    for name, move in moves[1].items():
        torch.testing.assert_close(move, share_of(name) * moves[0][name], atol=1e-6, rtol=1e-3)


def plan(steps: int) -> Plan:
    schedule = Schedule.from_dict({"name": "cosine", "warmup_steps": 2})
    return Plan(loss, Plain(), schedule, Budget(max_steps=steps))


def forever(state: State) -> Any:
    while True:
        yield [BATCH]


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_the_schedule_applies_to_every_layer(optimizer: str) -> None:
    state = made(optimizer)
    full = rates(state, "initial_lr")
    factors = []
    for step in fit(state, forever(state), plan(6)):
        now = rates(state)
        each = {round(now[name] / full[name], 9) for name in now}
        assert len(each) == 1
        factors.append(each.pop())
        assert step.loss > 0
    assert factors == pytest.approx([0.5, 1.0, *(math.cos(math.pi * k / 8) ** 2 for k in range(4))])


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "lion", "adafactor"])
def test_a_checkpoint_goes_on_exactly(optimizer: str, tmp_path: Path) -> None:
    whole = made(optimizer)
    for step in fit(whole, forever(whole), plan(8)):
        if step.index == 4:
            Checkpoints(tmp_path, {}).save(whole)
    again = made(optimizer)
    assert Checkpoints(tmp_path, {}).load(again)
    assert rates(again, "initial_lr") == rates(whole, "initial_lr")
    for _ in fit(again, forever(again), plan(8)):
        pass
    for name, tensor in again.model.state_dict().items():
        assert torch.equal(tensor, whole.model.state_dict()[name]), name


def test_real_models_name_their_parts() -> None:
    small = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    module = Model.from_dict({"name": "gpt", **small}).build(Signature("tokens", 9, 9, 8, 0, 1))
    built = Optimizer.from_dict({"name": "adamw", "learning_rate": 1.0}).build(
        list(module.named_parameters())
    )
    decay_by_layer(built, module, 0.5)
    found = rates(State(module, built), "initial_lr")
    assert found["model.embed_tokens.weight"] == 0.125
    assert found["model.layers.0.mlp.up_proj.weight"] == 0.25
    assert found["model.layers.1.self_attn.q_proj.weight"] == 0.5
    assert found["model.norm.weight"] == 1.0
