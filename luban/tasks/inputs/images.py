"""What tasks over images share: one size, one number of channels, one normalisation."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeAlias

import numpy as np
import torch
from pydantic import Field, PrivateAttr, field_validator
from torch import Tensor

from luban.core.contracts import Augmentation, Example, Examples, Record, TargetSummary, Task, View
from luban.core.errors import RecipeError
from luban.core.files import write_json
from luban.core.sizes import Side
from luban.data.files.records import unusable
from luban.data.media.image_processors import FILE, read_processor
from luban.data.media.images import PIXELS_LIMIT, Channels, How
from luban.data.media.media_files import Media, media_in
from luban.data.media.parallel_encoding import encode_files
from luban.data.media.preprocessor import DEFAULT_SIZE, Found, Preprocessor, Traits
from luban.data.views.augmented import Augmented
from luban.models._pretrained import locate
from luban.tasks.inputs.augmentations import check_augmentations
from luban.tasks.parts.learned_files import read_learned

Array: TypeAlias = "np.ndarray[Any, Any]"

_FILE = "images.json"
SAMPLE = 2048  #: training images looked at, to learn size, channels and normalisation


class ImageTask(Task, ABC):
    """A task whose records have an ``image``, which becomes ``pixels``.

    What the recipe leaves open is learned from training images: their size if all have the same
    (else 224), whether they have colours, and mean and standard deviation of their pixels.
    """

    #: Whether the loss knows labels by shares, as mixed images have them.
    takes_mixes: ClassVar[bool] = False

    image_size: Side | tuple[Side, Side] | None = Field(
        default=None,
        description=(
            "Side, or height and width, of what the model sees; by default that of the training "
            "images if all have the same, else 224."
        ),
    )
    channels: Channels | None = Field(
        default=None, description="1: grey, 3: colours; by default what the training images are."
    )
    resize: How | None = Field(
        default=None,
        description=(
            "How an image of other proportions fits: `crop` what juts out (the default), "
            "`stretch` it, or `pad` it."
        ),
    )
    crop_pct: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of the height and width that is kept (not of `pad`).",
    )
    image_mean: tuple[float, ...] | None = Field(
        default=None,
        description=(
            "Of each channel, or one number for all, 0 to 1; by default that of training images."
        ),
    )
    image_std: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        default=None, description="Likewise: the standard deviation."
    )
    preprocessor: str | None = Field(
        default=None,
        description=(
            "A pretrained model (a directory, or a name on the hub) whose "
            "`preprocessor_config.json` decides what the fields above leave open."
        ),
    )
    augmentations: tuple[Augmentation, ...] = Field(
        default=(), description="Random changes to training images, made in this order."
    )
    _look: Preprocessor = PrivateAttr(
        default_factory=lambda: Preprocessor(DEFAULT_SIZE, (0.5,) * 3, (0.5,) * 3)
    )

    @field_validator("image_size")
    @classmethod
    def _readable(cls, size: int | tuple[int, int] | None) -> int | tuple[int, int] | None:
        if size is not None and math.prod(_pair(size)) > PIXELS_LIMIT:
            raise ValueError(f"an image has at most {PIXELS_LIMIT:,} pixels")
        return size

    @field_validator("augmentations")
    @classmethod
    def _of_images(cls, augmentations: tuple[Augmentation, ...]) -> tuple[Augmentation, ...]:
        check_augmentations(augmentations, ("pixels",), "images", mixes=cls.takes_mixes)
        return augmentations

    def learn_image_traits(self, images: Sequence[Found]) -> Self:
        """Return this task with all that training images must tell.

        Args:
            images: Some of them; they are read only if something is left to learn.

        Raises:
            DataError: if none can be read.
            RecipeError: if fields contradict each other.
        """
        known = read_processor(locate(self.preprocessor)) if self.preprocessor else {}
        given = {
            "size": None if self.image_size is None else _pair(self.image_size),
            "resize": self.resize,
            "crop_pct": self.crop_pct,
            "mean": self.image_mean,
            "std": self.image_std,
        }
        known |= {name: value for name, value in given.items() if value is not None}
        said = max((len(known[name]) for name in ("mean", "std") if name in known), default=0)
        if not {"size", "mean", "std"} <= known.keys() or (said == 1 and self.channels is None):
            traits = Traits.of(images, self.channels)
            # One number holds for every channel: it does not say that the images are grey.
            channels = self.channels or (said if said > 1 else 1 if traits.grey else 3)
            known.setdefault("size", traits.size or DEFAULT_SIZE)
            known.setdefault("mean", traits.mean[:channels])
            known.setdefault("std", traits.std[:channels])
            said = channels
        if self.channels or said:
            for name in ("mean", "std"):
                known[name] = known[name] * (self.channels or said if len(known[name]) == 1 else 1)
        found = (len(known["mean"]), len(known["std"]))
        wanted = self.channels or (1 if found[0] == 1 else 3)
        if found != (wanted, wanted):
            raise RecipeError(
                "mean and standard deviation do not go with the channels.",
                where="task.image_mean",
                expected=f"{wanted} values each",
                got=f"{known['mean']} and {known['std']}",
            )
        task = self.model_copy()
        task._look = Preprocessor(**known)
        return task

    def save(self, folder: Path) -> None:
        """Write size and normalisation; in Hugging Face's form too, if it can say the same."""
        super().save(folder)
        write_json(folder / _FILE, asdict(self._look))
        if (config := self._look.to_hf()) is not None:
            write_json(folder / FILE, config)

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        size, mean, std, *others = read_learned(
            folder / _FILE, "size", "mean", "std", "resize", "crop_pct", resample="bilinear"
        )
        task = super().load(folder).model_copy()
        task._look = Preprocessor(tuple(size), tuple(mean), tuple(std), *others)
        return task

    def record_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a record without its answer."""
        image = {"type": "string", "contentEncoding": "base64"}
        return {"type": "object", "properties": {"image": image}, "required": ["image"]}

    def pixels(self, record: Record) -> Array:
        """Return the image of a record, uint8 (H, W, C).

        Raises:
            DataError: if it has none.
            UnreadableError: if it is damaged.
        """
        image, where = image_of(record)
        return self._look.read(image, where)

    def encode_batch(self, records: Sequence[Record]) -> list[Example]:
        """Encode many records, on all cores if their files are large."""
        return encode_files(self.encode, records)

    def target_summary(self, example: Example) -> TargetSummary:
        """An image teaches once."""
        return TargetSummary(count=1)

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return the images, augmented in training."""
        if epoch is None or not self.augmentations:
            return super().view(store, epoch, seed)
        return Augmented(store, self.augmentations, seed, epoch)

    def pixel_values(self, examples: Sequence[Example]) -> Tensor:
        """Return the normalised images, float32 (B, C, H, W), channels last in memory."""
        stacked = np.stack([example["pixels"] for example in examples])
        return torch.from_numpy(self._look.normalised(stacked))


def image_of(record: Record) -> Found:
    """Return the image of a record, and where it lies.

    Raises:
        DataError: if it has none.
    """
    image: Media | Array | None = media_in(record, "image")
    if image is None:
        raise unusable(record, "image", "that is a file, an array, or base64 text")
    return image, str(record.get("_where", ""))


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
