"""Freezing: exactly the named parts stand still."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from luban.core.contracts import Adapter
from luban.core.errors import RecipeError
from tests.adapters.toy import IDS, built, gpt, logits, train, trained_names


class Headed(nn.Module):
    """A stem, something after it, three blocks, a norm and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Embedding(23, 8)
        self.place = nn.Linear(8, 8)
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 23)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.place(self.stem(ids))
        for block in self.blocks:
            x = x + block(x).tanh()
        out: torch.Tensor = self.head(self.norm(x))
        return out


HEAD = {"head.weight", "head.bias"}
LAST = {"blocks.2.weight", "blocks.2.bias", "norm.weight", "norm.bias", *HEAD}
FIRST = {"stem.weight", "place.weight", "place.bias"}
BIASES = {f"{n}.bias" for n in ("place", "blocks.0", "blocks.1", "blocks.2", "norm")}


@pytest.mark.parametrize(
    ("fields", "trained"),
    [
        ({}, HEAD),
        ({"layers": 2}, LAST),
        ({"layers": 2, "stem": False}, LAST | FIRST),
        ({"layers": 3}, {"norm.weight", "norm.bias", *HEAD}),
        ({"biases_only": True}, BIASES | HEAD),
        ({"trainable": ["norm.*"]}, {"norm.weight", "norm.bias", *HEAD}),
    ],
)
def test_what_is_trained(fields: dict[str, Any], trained: set[str]) -> None:
    torch.manual_seed(0)
    module = Headed()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    adapter = Adapter.from_dict({"name": "freeze", **fields})
    adapter.apply(module)
    assert trained_names(module) == trained
    train(module)
    moved = {name for name, t in module.state_dict().items() if not torch.equal(t, before[name])}
    assert moved == trained
    after = logits(module)
    assert torch.equal(logits(adapter.merge(module)), after)
    assert trained_names(module) == set(before)


def test_fresh_parameters_train() -> None:
    module = Adapter.from_dict("freeze").apply(Headed(), ("norm.weight",))
    assert trained_names(module) == {"norm.weight", *HEAD}


def test_a_head_tied_to_the_stem_stays_with_it() -> None:
    module = Headed()
    module.head.weight = module.stem.weight
    Adapter.from_dict("freeze").apply(module)
    assert trained_names(module) == {"head.bias"}


def test_what_was_trained_is_kept_apart(tmp_path: Path) -> None:
    model = gpt()
    module = built(model)
    adapter = Adapter.from_dict({"name": "freeze", "layers": 1})
    adapter.apply(module)
    train(module)
    adapter.save(module, model, tmp_path)
    kept = load_file(tmp_path / "trained.safetensors")
    assert kept.keys() == trained_names(module)
    other = built(model)
    other.load_state_dict(kept, strict=False)
    torch.testing.assert_close(logits(other, IDS), logits(module, IDS))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layers": 5}, "fewer blocks"),
        ({"trainable": ["nothing*"]}, "no parameter is called 'nothing"),
        ({}, "nothing is left to train"),
        ({"biases_only": True}, "without a head of its own or biases"),
        ({"biases_only": True, "layers": 1}, "two ways"),
    ],
)
def test_bad_fields(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Adapter.from_dict({"name": "freeze", **fields}).apply(built(gpt()))
