"""How an image file becomes what a model sees, and what images of a set have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self, TypeAlias

import numpy as np

from luban.core.errors import DataError, UnfitError
from luban.data.media.image_processors import processor_config
from luban.data.media.images import Channels, How, Resample, decode, fit
from luban.data.media.media_files import Media

Array: TypeAlias = "np.ndarray[Any, Any]"
#: An image as a record has it, and where it lies.
Found: TypeAlias = "tuple[Media | Array, str]"

DEFAULT_SIZE = (224, 224)
_BAND = 1 << 20  #: pixels counted at once


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """Size, proportions and normalisation of images.

    Attributes:
        size: Height and width.
        mean: Of each channel, values being 0 to 1.
        std: Likewise.
        resize: How other proportions fit.
        crop_pct: Share of the height and width that is kept; the edges are cut off.
        resample: The filter of resizing.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: How = "crop"
    crop_pct: float = 1.0
    resample: Resample = "bilinear"

    @property
    def channels(self) -> Channels:
        """1 (grey) or 3."""
        return 1 if len(self.mean) == 1 else 3

    def read(self, image: Media | Array, where: str = "") -> Array:
        """Return an image as uint8 (H, W, C).

        Raises:
            UnreadableError: if it is damaged or no image.
        """
        pixels = decode(image, self.channels, where)
        return fit(pixels, self.size, self.resize, self.crop_pct, self.resample)

    def normalised(self, pixels: Array) -> Array:
        """Return (x / 255 - mean) / std of uint8 (B, H, W, C), as float32 (B, C, H, W).

        The channels stay last in memory, which convolutions on a CPU are fastest with.
        """
        std = np.asarray(self.std)
        values = pixels * (1 / (255 * std)).astype(np.float32)
        values -= (np.asarray(self.mean) / std).astype(np.float32)
        return values.transpose(0, 3, 1, 2)

    def to_hf(self) -> dict[str, Any] | None:
        """Return ``preprocessor_config.json``; None where no image processor does the same."""
        return processor_config(**asdict(self))


@dataclass(frozen=True, slots=True)
class Traits:
    """What images have in common.

    Attributes:
        size: Their height and width, if it is the same for all.
        grey: Whether none has a colour.
        mean: Of each channel, 0 to 1.
        std: Likewise.
    """

    size: tuple[int, int] | None
    grey: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, images: Iterable[Found], channels: Channels | None) -> Self:
        """Look at images; damaged ones are passed over.

        Args:
            images: Read one by one.
            channels: 1: look at their grey only.

        Raises:
            DataError: if none can be read.
        """
        sizes: set[tuple[int, int]] = set()
        moments: list[Array] = []
        grey, damaged = True, ""
        for image, where in images:
            try:
                pixels = decode(image, channels or 3, where)
            except UnfitError as error:
                damaged = damaged or f"{error.where}: {error.what}"
                continue
            sizes.add((pixels.shape[0], pixels.shape[1]))
            levels, colour = _levels(pixels)
            grey = grey and not colour
            values = np.arange(256) / 255
            shares = levels / levels.sum(1, keepdims=True)
            moments.append(np.stack([shares @ values, shares @ np.square(values)]))
        if not moments:
            raise DataError(
                "no training image can be read.", where="image", got=damaged or "no record"
            )
        mean, square = np.mean(moments, axis=0)
        spread = np.sqrt(np.maximum(square - mean**2, 0))
        return cls(
            sizes.pop() if len(sizes) == 1 else None,
            grey,
            tuple(round(float(value), 4) for value in mean),
            tuple(round(float(value), 4) or 1.0 for value in spread),
        )


def _levels(pixels: Array) -> tuple[Array, bool]:
    """Return how often each channel has each level, (C, 256), and whether there is any colour.

    Band by band: as numbers of 8 bytes, a large image would take eight times its memory.
    """
    height, width, channels = pixels.shape
    counts, colour = np.zeros((channels, 256), np.int64), False
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = pixels[top : top + rows].reshape(-1, channels)
        colour = colour or bool((band != band[:, :1]).any())
        for channel in range(channels):
            counts[channel] += np.bincount(band[:, channel], minlength=256)
    return counts, colour


class Sample:
    """A few of many, each with the same chance (Vitter 1985, algorithm R), always the same.

    Args:
        size: How many are kept.
    """

    def __init__(self, size: int) -> None:
        self._size, self._seen = size, 0
        self._rng = np.random.default_rng(0)
        self._kept: list[Found] = []

    def see(self, image: Found) -> None:
        """Keep an image, perhaps in place of another."""
        self._seen += 1
        if len(self._kept) < self._size:
            self._kept.append(image)
        elif (place := int(self._rng.integers(self._seen))) < self._size:
            self._kept[place] = image

    @property
    def kept(self) -> Sequence[Found]:
        """What was kept."""
        return self._kept
