"""How an image file becomes what a model sees, and the Hugging Face file that says so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np

from luban.core.errors import DataError, RecipeError, UnreadableError
from luban.data.images import Channels, How, decode, fit
from luban.data.media import Media

Array: TypeAlias = "np.ndarray[Any, Any]"
#: An image as a record has it, and where it lies.
Found: TypeAlias = "tuple[Media | Array, str]"

FILE = "preprocessor_config.json"
DEFAULT_SIZE = (224, 224)
# Below this shortest edge, Hugging Face's ConvNext way resizes to more and cuts the middle.
_WARPED_FROM = 384


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """Size, proportions and normalisation of images.

    Attributes:
        size: Height and width.
        mean: Of each channel, values being 0 to 1.
        std: Likewise.
        resize: How other proportions fit.
        crop_pct: Share of the height and width that cropping keeps.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: How = "crop"
    crop_pct: float = 1.0

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
        if self.resize != "crop" or self.crop_pct == 1:
            return fit(pixels, self.size, self.resize)
        height, width = self.size
        larger = (round(height / self.crop_pct), round(width / self.crop_pct))
        top, left = (larger[0] - height) // 2, (larger[1] - width) // 2
        return fit(pixels, larger)[top : top + height, left : left + width]

    def normalised(self, pixels: Array) -> Array:
        """Return (x / 255 - mean) / std of uint8 (B, H, W, C), as float32 (B, C, H, W).

        The channels stay last in memory, which convolutions on a CPU are fastest with.
        """
        std = np.asarray(self.std)
        values = pixels * (1 / (255 * std)).astype(np.float32)
        values -= (np.asarray(self.mean) / std).astype(np.float32)
        return values.transpose(0, 3, 1, 2)

    def to_hf(self) -> dict[str, Any]:
        """Return ``preprocessor_config.json``."""
        height, width = self.size
        warped = self.resize == "crop" and height == width < _WARPED_FROM
        return {
            "image_processor_type": "ConvNextImageProcessor" if warped else "ViTImageProcessor",
            "do_resize": True,
            "size": {"shortest_edge": height} if warped else {"height": height, "width": width},
            **({"crop_pct": self.crop_pct} if warped else {}),
            "resample": 2,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }


def read_preprocessor(folder: Path) -> dict[str, Any]:
    """Return the fields of a ``Preprocessor`` that a Hugging Face directory decides.

    Raises:
        RecipeError: if there is no such file, or it cannot be understood.
    """
    path = folder / FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        mean, std = (0.0,) * 3, (1.0,) * 3
        if config.get("do_normalize", True):
            mean, std = config["image_mean"], config["image_std"]
        found: dict[str, Any] = {
            "mean": tuple(float(value) for value in mean),
            "std": tuple(float(value) for value in std),
            **_geometry(config),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(
            f"cannot read {FILE} ({error}).",
            where=folder,
            expected="image_mean, image_std and size, as Hugging Face writes them",
            fix="give task.image_size, image_mean and image_std instead.",
        ) from None
    return found


def _geometry(config: Mapping[str, Any]) -> dict[str, Any]:
    size = config.get("size", DEFAULT_SIZE[0])
    size = {"height": size, "width": size} if isinstance(size, int) else size
    crop = config.get("crop_size") if config.get("do_center_crop") else None
    crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
    if "shortest_edge" not in size:
        if crop is None:
            return {"size": (int(size["height"]), int(size["width"])), "resize": "stretch"}
        share = int(crop["height"]) / int(size["height"])
        return {"size": (crop["height"], crop["width"]), "resize": "crop", "crop_pct": share}
    edge = int(size["shortest_edge"])
    if crop is not None:
        share = min(1.0, int(crop["height"]) / edge)
        return {"size": (crop["height"], crop["width"]), "resize": "crop", "crop_pct": share}
    if edge >= _WARPED_FROM:
        return {"size": (edge, edge), "resize": "stretch"}
    share = float(config.get("crop_pct", 224 / 256))
    return {"size": (edge, edge), "resize": "crop", "crop_pct": share}


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
            except UnreadableError as error:
                damaged = damaged or f"{error.where}: {error.what}"
                continue
            sizes.add((pixels.shape[0], pixels.shape[1]))
            grey = grey and bool((pixels == pixels[:, :, :1]).all())
            values = pixels.reshape(-1, pixels.shape[2]).astype(np.float64) / 255
            moments.append(np.stack([values.mean(0), np.square(values).mean(0)]))
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
