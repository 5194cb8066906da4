"""A few distortions of an image, chosen at random, with one strength for all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from pydantic import Field

from luban.core.contracts import Augmentation, AugmentationContext, Example
from luban.core.extras import require

if TYPE_CHECKING:
    from PIL.Image import Image

Operation: TypeAlias = "Callable[[Image, float], Image]"

_GREY = 128
_STRONGEST = 30  #: the magnitude at which a distortion is as strong as it gets


class RandAugment(Augmentation):
    """``num_ops`` of the 14 distortions of Cubuk et al. (2019, 1909.13719), one after another.

    ``magnitude`` is how strong they are, from 0 to 30: 30 turns by 30 degrees, shears by 0.3, moves
    by 45 % of a side, changes colour, contrast, brightness and sharpness by 90 %, keeps 4 bits
    and inverts everything. Directions are drawn; what comes in from outside is grey.
    """

    changes: ClassVar[str] = "pixels"

    num_ops: int = Field(default=2, ge=1, le=1_024)
    magnitude: float = Field(default=9.0, ge=0, le=_STRONGEST)
    probability: float = Field(default=1.0, ge=0, le=1)

    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the example with its image distorted."""
        if context.rng.random() >= self.probability:
            return example
        chosen = context.rng.integers(0, len(OPERATIONS), self.num_ops).tolist()
        signs = context.rng.choice((-1.0, 1.0), self.num_ops).tolist()
        pixels = example["pixels"]
        pillow = _pillow("Image")
        image = pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        for number, sign in zip(chosen, signs, strict=True):
            image = OPERATIONS[number](image, sign * self.magnitude / _STRONGEST)
        return {**example, "pixels": np.array(image).reshape(pixels.shape)}


def _pillow(module: str) -> Any:
    return require(f"PIL.{module}", "vision", "pillow")


def _affine(matrix: Callable[[float, int, int], tuple[float, ...]]) -> Operation:
    """Return an operation that takes the pixel at (x, y) from (ax + by + c, dx + ey + f)."""

    def move(image: Image, strength: float) -> Image:
        pillow = _pillow("Image")
        outside = _GREY if image.mode == "L" else (_GREY,) * 3
        data = matrix(strength, *image.size)
        moved: Image = image.transform(
            image.size, pillow.Transform.AFFINE, data, pillow.Resampling.BILINEAR, fillcolor=outside
        )
        return moved

    return move


def _turn(strength: float, width: int, height: int) -> tuple[float, ...]:
    """Turn around the middle, by up to 30 degrees."""
    cos, sin = math.cos(math.radians(30 * strength)), math.sin(math.radians(30 * strength))
    x, y = width / 2, height / 2
    return cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y


def _enhance(kind: str) -> Operation:
    """Return an operation that changes one property by up to 90 % either way."""

    def change(image: Image, strength: float) -> Image:
        enhancer = getattr(_pillow("ImageEnhance"), kind)(image)
        changed: Image = enhancer.enhance(1 + 0.9 * strength)
        return changed

    return change


def _ops(kind: str, value: Callable[[float], int] | None = None) -> Operation:
    """Return an operation of ``ImageOps`` with a value made of the strength, if it takes one."""

    def change(image: Image, strength: float) -> Image:
        function = getattr(_pillow("ImageOps"), kind)
        changed: Image = function(image, *([] if value is None else [value(abs(strength))]))
        return changed

    return change


#: Each takes an image and a strength from -1 to 1.
OPERATIONS: tuple[Operation, ...] = (
    lambda image, strength: image,
    _ops("autocontrast"),
    _ops("equalize"),
    _ops("solarize", lambda strength: round(256 * (1 - strength))),
    _ops("posterize", lambda strength: 8 - round(4 * strength)),
    _enhance("Color"),
    _enhance("Contrast"),
    _enhance("Brightness"),
    _enhance("Sharpness"),
    _affine(_turn),
    _affine(lambda strength, width, height: (1, 0.3 * strength, 0, 0, 1, 0)),
    _affine(lambda strength, width, height: (1, 0, 0, 0.3 * strength, 1, 0)),
    _affine(lambda strength, width, height: (1, 0, 0.45 * strength * width, 0, 1, 0)),
    _affine(lambda strength, width, height: (1, 0, 0, 0, 1, 0.45 * strength * height)),
)
