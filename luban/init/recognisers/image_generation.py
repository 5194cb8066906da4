"""Which field of unknown records holds images that can be learned to be made."""

from __future__ import annotations

from collections.abc import Sequence

from luban.core.contracts import Guess, Record
from luban.init.recognisers._fields import classes_in, columns_of
from luban.init.recognisers._images import SMALL, image_field, image_training, median_size

_UNIT = 4  #: what sides of the images that are made must be multiples of


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a model that makes images: there are some, whatever else there is."""
    fields = columns_of(sample)
    image, images = image_field(fields)
    if not images:
        return None
    labelled = "label" in fields and classes_in(fields["label"]) > 0
    height, width = (max(_UNIT, round(side / _UNIT) * _UNIT) for side in median_size(images, SMALL))
    return Guess(
        confidence=0.4,
        fields={"image": image} if image != "image" else {},
        task={"image_size": [height, width], **({"guidance_scale": 2.0} if labelled else {})},
        model={"name": "unet", "block_out_channels": [32, 64], "patch_size": 2},
        train={
            **image_training(len(sample), 32, 4000, 0.001),
            "ema_decay": 0.99,
            "load_best_model_at_end": False,
        },
        why=f"the image {image!r} can be learned to be made",
    )
