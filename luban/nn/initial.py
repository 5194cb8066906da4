"""Fresh weights of a Transformer."""

from __future__ import annotations

import torch
from torch import nn

from luban.nn.norms import RMSNorm
from luban.nn.rotary import Rotary


@torch.no_grad()
def draw_weights(
    root: nn.Module, *, layers: int, std: float | None, zero_out: bool, head: nn.Module | None
) -> None:
    """Draw fresh weights for every layer of a module from torch's global generator.

    With a standard deviation: normal, residual outputs scaled by 1/sqrt(2 layers) (GPT-2,
    Radford et al. 2019). Without one: 1/sqrt(fan in) (LeCun et al. 1998), embedding 1, so
    that Muon's updates and the weights are of one size; an untied head starts at zero.

    Args:
        root: Changed in place.
        layers: How many blocks add to one stream.
        std: Standard deviation (None: by fan in).
        zero_out: Start the residual outputs at zero: every block is the identity.
        head: The head over the vocabulary; None if it is the embedding.
    """

    def std_of(name: str, module: nn.Linear | nn.Embedding) -> float:
        output = name.endswith(("o_proj", "down_proj"))
        if output and zero_out:
            return 0.0
        if std is not None:
            return std / ((2 * layers) ** 0.5 if output else 1.0)
        if module is head:
            return 0.0
        if isinstance(module, nn.Embedding):
            return 1.0 if head is not None else module.embedding_dim**-0.5
        return float(module.in_features**-0.5)

    for name, module in root.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std_of(name, module))
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, RMSNorm | nn.LayerNorm | Rotary):
            module.reset_parameters()
