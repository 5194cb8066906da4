"""Images made of a label, or of nothing: what `generate` and the server call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from luban.core.errors import RequestError
from luban.core.registry import nearest

#: Pixels, uint8 (H, W, C).
Image: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"


class Sampler(nn.Module):
    """A model's ``sample`` as a forward pass, with all its steps: what is exported.

    Args:
        model: Makes images by ``sample(noise, labels, steps=..., guidance=...)``.
        size: Channels, height and width of an image.
        steps: How often the model is asked.
        guidance: How much it exaggerates the label.
    """

    def __init__(
        self, model: nn.Module, size: tuple[int, int, int], steps: int, guidance: float
    ) -> None:
        super().__init__()
        self.model, self.size, self.steps, self.guidance = model, size, steps, guidance

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images in [-1, 1] of standard normal noise, (B, C, H, W) both.

        Args:
            noise: What differs from image to image.
            labels: Class numbers, (B,); the number of classes: of anything.
        """
        sample: Any = self.model.sample
        images: Tensor = sample(
            noise.reshape(-1, *self.size), labels, steps=self.steps, guidance=self.guidance
        )
        return images


@dataclass(frozen=True, slots=True)
class ImageMaker:
    """What ``Generative.generator`` returns where a model makes images.

    Attributes:
        labels: What may be asked for; empty if the model knows no labels.
        size: Height and width of what it makes.
        draw: Returns images of a label (None: of anything), given how many and a seed.
        batch_size: Images made at once; the work can stop between two batches.
    """

    labels: tuple[str, ...]
    size: tuple[int, int]
    draw: Callable[[str | None, int, int], list[Image]]
    batch_size: int = 8

    def label_of(self, prompt: str) -> str | None:
        """Return the label that a prompt asks for; None for an empty one: of anything.

        Raises:
            RequestError: if it is none of ``labels``; it names the nearest.
        """
        asked = prompt.strip()
        if not asked or asked in self.labels:
            return asked or None
        alike = [label for label in self.labels if label.casefold() == asked.casefold()]
        if len(alike) == 1:
            return alike[0]
        if not self.labels:
            raise RequestError(
                "this model makes images of nothing in particular.", got=prompt, fix="no prompt."
            )
        raise RequestError(
            "this model does not know what that is.",
            expected=f"one of {', '.join(self.labels[:50])}; or nothing, for any of them",
            got=prompt,
            fix=nearest(asked, list(self.labels)),
        )

    def make(self, label: str | None, count: int, seed: int) -> Iterator[list[Image]]:
        """Yield ``count`` images, a batch at a time; the same arguments give the same ones.

        Raises:
            RequestError: for a seed below 0.
        """
        if seed < 0:
            raise RequestError("the seed is out of range.", expected="0 or more", got=seed)
        seeds = np.random.SeedSequence(seed)
        for start in range(0, count, self.batch_size):
            [child] = seeds.spawn(1)
            some = min(self.batch_size, count - start)
            with torch.inference_mode():
                images = self.draw(label, some, int(child.generate_state(1)[0]))
            yield images
