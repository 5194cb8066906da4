"""How bright an image is, and nothing else."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from luban.core.contracts import Model, Ports


class MeanShade(Model):
    """A linear function of the mean pixel."""

    accepts: ClassVar[tuple[str, ...]] = ("pixels",)
    produces: ClassVar[tuple[str, ...]] = ("label",)

    def build(self, ports: Ports) -> nn.Module:
        """Return the module with fresh weights."""
        self.check(ports)
        return _Mean(ports)


class _Mean(nn.Module):
    def __init__(self, ports: Ports) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Identity(), nn.ModuleList()
        self.head = nn.Linear(ports.inputs, ports.outputs)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return logits (B, 2) of images (B, C, H, W)."""
        return self.head(self.stem(pixel_values).mean((2, 3)))  # type: ignore[no-any-return]
