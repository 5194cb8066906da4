"""How bright an image is, and nothing else."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from luban.core.contracts import Model, Signature


class MeanShade(Model):
    """A linear function of the mean pixel."""

    accepts: ClassVar[tuple[str, ...]] = ("pixels",)
    produces: ClassVar[tuple[str, ...]] = ("label",)

    def build(self, signature: Signature) -> nn.Module:
        """Return the module with fresh weights."""
        self.check(signature)
        return _Mean(signature)


class _Mean(nn.Module):
    def __init__(self, signature: Signature) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Identity(), nn.ModuleList()
        self.head = nn.Linear(signature.inputs, signature.outputs)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return logits (B, 2) of images (B, C, H, W)."""
        return self.head(self.stem(pixel_values).mean((2, 3)))  # type: ignore[no-any-return]
