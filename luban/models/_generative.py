"""What models that make images have in common."""

from __future__ import annotations

from typing import ClassVar

import torch

from luban.core.contracts import Model, Signature
from luban.core.errors import RecipeError
from luban.models._flops import forward_flops


class GenerativeModel(Model):
    """A model whose module gives the loss of each image, and makes images of noise.

    The module has ``forward(pixel_values, noise, uniform, labels=None) -> (B,)`` and
    ``sample(noise, labels=None, *, steps, guidance) -> (B, C, H, W)``: images in [-1, 1].
    """

    accepts: ClassVar[tuple[str, ...]] = ("pixels",)
    produces: ClassVar[tuple[str, ...]] = ("image",)

    def check_size(self, signature: Signature, unit: int) -> None:
        """Refuse tasks that do not fit, and images whose sides are no multiples of ``unit``.

        Raises:
            RecipeError: saying what would fit.
        """
        self.check(signature)
        if any(side % unit or not side for side in signature.size):
            raise RecipeError(
                f"the {self.name} model cannot cut images of this size evenly.",
                where="task.image_size",
                expected=f"height and width that are multiples of {unit}",
                got=" x ".join(map(str, signature.size)),
                fix=f"set task.image_size, or change the {self.name}'s patches or levels.",
            )

    def flops_per_token(self, signature: Signature, parameters: int) -> float:
        """Return training FLOP per image: forward, counted, and twice that backward."""
        with torch.device("meta"):
            module = self.build(signature)
            image = torch.zeros(1, signature.inputs, *signature.size)
            labels = torch.zeros(1, dtype=torch.int64)
            return 3 * forward_flops(module, image, image, torch.zeros(1), labels)
