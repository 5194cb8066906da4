"""What models share that tell what an image shows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from luban.core.contracts import Model, Signature
from luban.core.errors import RecipeError
from luban.models._flops import training_flops


class ImageModel(Model, ABC):
    """A model from pixels to a label, of images that are large enough for it."""

    accepts: ClassVar[tuple[str, ...]] = ("pixels",)
    produces: ClassVar[tuple[str, ...]] = ("label",)

    @abstractmethod
    def refusal(self, signature: Signature) -> RecipeError | None:
        """Return why images of this size cannot be read; None: they can."""

    def fits(self, signature: Signature) -> bool:
        """Return whether a task asks for a label of images whose size this model can read."""
        return super().fits(signature) and self.refusal(signature) is None

    def check(self, signature: Signature) -> None:
        """Refuse a task this model is not made for.

        Raises:
            RecipeError: saying what the model takes and gives.
        """
        if super().fits(signature) and (error := self.refusal(signature)) is not None:
            raise error
        super().check(signature)

    def flops_per_token(self, signature: Signature, parameters: int) -> float:
        """Return what one image costs in training, counted; a filter is used at every place."""
        return training_flops(self, signature)


def too_small(signature: Signature, least: int, why: str) -> RecipeError | None:
    """Return the error for images with a side below ``least`` pixels, None for others."""
    if min(signature.size) >= least:
        return None
    return RecipeError(
        "the images are too small for this network.",
        where="task.image_size",
        expected=f"at least {least} x {least} pixels: {why}",
        got="{} x {}".format(*signature.size),
        fix="raise task.image_size, or choose a network for small images: cnn, or resnet with "
        "stem: small.",
    )
