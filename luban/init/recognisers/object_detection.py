"""Which fields of unknown records hold an image and objects with boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luban.core.contracts import Guess, Record
from luban.core.errors import DataError
from luban.data.media.media_files import Array, holds_media
from luban.init.recognisers._fields import counted
from luban.init.recognisers._images import image_training, images_in, median_size
from luban.tasks.answers.objects import objects_of

_LARGE = 320  #: pixels of the longer side that a detector sees


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a detector: an image beside a list of objects with boxes."""
    if not sample or not all(holds_media(record.get("image")) for record in sample):
        return None
    try:
        found = [objects_of(record)[0] for record in sample]
    except DataError:
        return None
    each = sum(map(len, found)) / len(found)
    return Guess(
        confidence=0.95,
        task={
            **_seen(images_in("image", [record["image"] for record in sample])),
            "augmentations": ["scale-jitter", "flip", "color-jitter"],
        },
        model={"name": "fcos"},
        train={
            **image_training(len(sample), 8, 2000, 0.002),
            "max_grad_norm": 5.0,
            "ema_decay": 0.99,
        },
        why=f"images with {each:.1f} boxes each",
        labels=counted(found),
    )


def _seen(images: Sequence[Array]) -> dict[str, Any]:
    """Return height and width for a detector, in the proportion that the images have mostly."""
    sides = (
        [max(32, round(side / 16) * 16) for side in median_size(images, _LARGE)] if images else []
    )
    return {"image_size": sides} if sides else {}
