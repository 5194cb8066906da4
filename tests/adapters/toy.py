"""Small models to adapt, and a few steps of training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from luban.core.contracts import Model, Signature

SIGNATURES = Signature("tokens", 23, 23, 8, 0, 1)
IDS = torch.randint(0, 23, (3, 7), generator=torch.Generator().manual_seed(0))


def gpt(**fields: Any) -> Model:
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return Model.from_dict({"name": "gpt", **small, "initializer_range": 0.2, **fields})


def built(model: Model, signature: Signature = SIGNATURES) -> nn.Module:
    torch.manual_seed(0)
    return model.build(signature).eval()


def logits(module: nn.Module, inputs: Tensor = IDS) -> Tensor:
    with torch.no_grad():
        found: Tensor = module(inputs)
    return found


def train(module: nn.Module, steps: int = 3, rate: float = 0.3) -> None:
    """Learn to repeat the input, in place."""
    chosen = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(chosen, rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(IDS).flatten(0, -2), IDS.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def trained_names(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}
