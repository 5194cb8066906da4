"""Feed-forward networks between attention layers.

Shapes: D model width, I intermediate width.
"""

from __future__ import annotations

from torch import Tensor, nn

from luban.nn.activations import ACTIVATIONS
from luban.nn.shape import Shape


class GatedMLP(nn.Module):
    """down(act(gate(x)) * up(x)) (Shazeer 2020, 2002.05202), with Hugging Face's names."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, inner, bias = shape.hidden_size, shape.intermediate_size, shape.mlp_bias
        self.gate_proj = nn.Linear(width, inner, bias=bias)
        self.up_proj = nn.Linear(width, inner, bias=bias)
        self.down_proj = nn.Linear(inner, width, bias=bias)
        self.activation = ACTIVATIONS[shape.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        """Return the transformed positions, the shape of ``x``."""
        y: Tensor = self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))
        return y


class MLP(nn.Module):
    """down(act(up(x))) (Vaswani et al. 2017, 1706.03762)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, inner, bias = shape.hidden_size, shape.intermediate_size, shape.mlp_bias
        self.up_proj = nn.Linear(width, inner, bias=bias)
        self.down_proj = nn.Linear(inner, width, bias=bias)
        self.activation = ACTIVATIONS[shape.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        """Return the transformed positions, the shape of ``x``."""
        y: Tensor = self.down_proj(self.activation(self.up_proj(x)))
        return y
