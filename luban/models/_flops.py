"""What a training step of a model over images costs, counted operation by operation."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from luban.core.contracts import Model, Signature


def training_flops(model: Model, signature: Signature) -> float:
    """Return the FLOP of training on one image: three times those of looking at it.

    Every product of the backward pass is done twice, for the weights and for what came in
    (Kaplan et al. 2020, 2001.08361, section 2.1). Counted are convolutions and matrix products,
    a multiplication and an addition each, on a module without memory; for two images, halved,
    since some layers refuse to learn from one.
    """
    with torch.device("meta"):
        module = model.build(signature)
        pixels = torch.empty(2, signature.inputs, *signature.size)
        return 3 * forward_flops(module, pixels) / len(pixels)


def forward_flops(module: nn.Module, *inputs: torch.Tensor) -> float:
    """Return the FLOP of one call of a module in training."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.train()(*inputs)
    return float(counter.get_total_flops())
