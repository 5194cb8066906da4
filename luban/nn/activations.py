"""Activations by their Hugging Face name, as a plain table of functions.

Each entry gives the formula and where it comes from; Phi is the normal distribution function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor


def relu2(x: Tensor) -> Tensor:
    """Return max(x, 0)^2 (So et al. 2021, Primer, 2109.08668)."""
    return F.relu(x).square()


#: Names that a recipe may give.
Activation: TypeAlias = Literal[
    "sigmoid", "tanh", "relu", "gelu", "gelu_new", "gelu_pytorch_tanh", "silu", "relu2"
]

_gelu_tanh = partial(F.gelu, approximate="tanh")

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        # 1 / (1 + exp(-x)), the logistic function (Verhulst 1838)
        "sigmoid": torch.sigmoid,
        # sinh x / cosh x, the hyperbolic tangent
        "tanh": torch.tanh,
        # max(x, 0) (Nair and Hinton 2010)
        "relu": F.relu,
        # x Phi(x) = x/2 (1 + erf(x / sqrt 2)) (Hendrycks and Gimpel 2016, 1606.08415)
        "gelu": F.gelu,
        # x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), the same paper's approximation
        "gelu_new": _gelu_tanh,
        "gelu_pytorch_tanh": _gelu_tanh,
        # x sigmoid(x) (Elfwing et al. 2017, 1702.03118)
        "silu": F.silu,
        "relu2": relu2,
    }
)
