"""Mirror images, left to right or top to bottom."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from luban.core.contracts import Augmentation, AugmentationContext, Example


class Flip(Augmentation):
    """The mirror image of some images; ``boxes`` (N, 4) of x1, y1, x2, y2 are mirrored along."""

    changes: ClassVar[str] = "pixels"
    keeps_boxes: ClassVar[bool] = True

    probability: float = Field(default=0.5, ge=0, le=1)
    direction: Literal["horizontal", "vertical"] = "horizontal"

    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the example, mirrored or not."""
        if context.rng.random() >= self.probability:
            return example
        pixels = example["pixels"]
        across = self.direction == "horizontal"
        changed = {**example, "pixels": pixels[:, ::-1] if across else pixels[::-1]}
        if "boxes" in example:
            first = 0 if across else 1
            boxes = example["boxes"].copy()
            side = pixels.shape[1 if across else 0]
            boxes[:, [first, first + 2]] = side - boxes[:, [first + 2, first]]
            changed["boxes"] = boxes
        return changed
