"""What models share that tell what an image shows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from luban.core.contracts import Model, Ports
from luban.core.errors import RecipeError
from luban.models._flops import training_flops


class ImageModel(Model, ABC):
    """A model from pixels to a label, of images that are large enough for it."""

    accepts: ClassVar[tuple[str, ...]] = ("pixels",)
    produces: ClassVar[tuple[str, ...]] = ("label",)

    @abstractmethod
    def refusal(self, ports: Ports) -> RecipeError | None:
        """Return why images of this size cannot be read; None: they can."""

    def fits(self, ports: Ports) -> bool:
        """Return whether a task asks for a label of images whose size this model can read."""
        return super().fits(ports) and self.refusal(ports) is None

    def check(self, ports: Ports) -> None:
        """Refuse a task this model is not made for.

        Raises:
            RecipeError: saying what the model takes and gives.
        """
        if super().fits(ports) and (error := self.refusal(ports)) is not None:
            raise error
        super().check(ports)

    def flops_per_token(self, ports: Ports, parameters: int) -> float:
        """Return what one image costs in training, counted; a filter is used at every place."""
        return training_flops(self, ports)


def too_small(ports: Ports, least: int, why: str) -> RecipeError | None:
    """Return the error for images with a side below ``least`` pixels, None for others."""
    if min(ports.size) >= least:
        return None
    return RecipeError(
        "the images are too small for this network.",
        where="task.image_size",
        expected=f"at least {least} x {least} pixels: {why}",
        got="{} x {}".format(*ports.size),
        fix="raise task.image_size, or choose a network for small images: cnn, or resnet with "
        "stem: small.",
    )
