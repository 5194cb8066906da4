"""Several optimizers as one: each part moves as if it were alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from luban.core.contracts import Optimizer
from luban.core.errors import RecipeError
from luban.engine.layerwise import decay_by_layer

ADAM = {"name": "adam", "learning_rate": 0.01, "betas": [0.0, 0.9]}
SGD = {"name": "sgd", "learning_rate": 0.2, "momentum": 0.9}
PARTS = {"name": "parts", "parts": {"0.*": ADAM, "*": SGD}}


def walk(module: nn.Module, optimizers: list[torch.optim.Optimizer], steps: int) -> None:
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        for optimizer in optimizers:
            optimizer.zero_grad()
        module(x).square().sum().backward()
        for optimizer in optimizers:
            optimizer.step()


def build(fields: Any, module: nn.Module, prefix: str = "") -> torch.optim.Optimizer:
    named = [(n, p) for n, p in module.named_parameters() if n.startswith(prefix)]
    return Optimizer.from_dict(fields).build(named)


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def test_each_part_moves_as_if_alone() -> None:
    one, two = plain(), plain()
    walk(one, [build(PARTS, one)], 5)
    walk(two, [build(ADAM, two, "0."), build(SGD, two, "2.")], 5)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name


def test_a_saved_state_goes_on_and_rates_stay_tied() -> None:
    one = plain()
    first = build(PARTS, one)
    walk(one, [first], 3)
    two = copy.deepcopy(one)
    second = build(PARTS, two)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for optimizer in (first, second):
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] / 2
    walk(one, [first], 3)
    walk(two, [second], 3)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name
    rates = [group["lr"] for group in second.param_groups]
    assert rates == [0.005, 0.005, 0.1, 0.1]


class Named(nn.Module):
    """A network that names its parts."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.stem, self.blocks = layers[0], nn.ModuleList([layers[2]])


def test_groups_may_be_split_by_layer() -> None:
    module = plain()
    named = Named(module)
    optimizer = build(PARTS, module)
    decay_by_layer(optimizer, named, 0.5)
    before = copy.deepcopy(module.state_dict())
    walk(module, [optimizer], 1)
    assert all(not torch.equal(t, before[n]) for n, t in module.state_dict().items())


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"0.*": "adam"}, "no optimizer is given for '2.weight'"),
        ({"*": "adam", "2.*": "sgd"}, r"nothing is left for '2\.\*'"),
    ],
)
def test_parts_must_fit_the_names(parts: dict[str, str], what: str) -> None:
    with pytest.raises(RecipeError, match=what):
        build({"name": "parts", "parts": parts}, plain())
