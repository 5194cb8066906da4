"""An affine change of a model's outputs, moved into the weights of its last layer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from luban.nn.ngrams import HashedLinear

#: Largest difference that rounding may make, relative to the largest output.
_CLOSE = 1e-4


@torch.no_grad()
def fold(model: nn.Module, inputs: Mapping[str, Tensor], scale: float, shift: float = 0.0) -> bool:
    """Change the last linear layer so that outputs become ``scale`` times what they were, + shift.

    Which layer is the last is not guessed: each with as many outputs as the model is tried, from
    the last on, and stays changed only if the outputs become what they should.

    Args:
        model: In evaluation mode; it gives (B, outputs).
        inputs: Some examples.
        scale: What outputs are multiplied by.
        shift: What is added to them; it needs a layer with a bias.

    Returns:
        Whether there is such a layer; if not, the model is as it was.
    """
    before: Tensor = model(**inputs)
    wanted = before * scale + shift
    bound = _CLOSE * max(1.0, float(wanted.abs().max()))
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | HashedLinear)]
    for layer in reversed(layers):
        if layer.out_features != before.shape[-1] or (shift and layer.bias is None):
            continue
        kept = {name: tensor.clone() for name, tensor in layer.named_parameters()}
        layer.weight.mul_(scale)
        if layer.bias is not None:
            layer.bias.mul_(scale).add_(shift)
        if float((model(**inputs) - wanted).abs().max()) <= bound:
            return True
        for name, tensor in layer.named_parameters():
            tensor.copy_(kept[name])
    return False
