"""Which fields of unknown records hold an image, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from luban.core.contracts import Guess, Record
from luban.core.errors import LubanError
from luban.data.images import decode
from luban.data.media import holds_media, media_in
from luban.tasks._guessing import LABELS, classes_in, columns_of, last_of

_TRIED = 8  #: values of a field that must be images
_SMALL = 64  #: pixels a side, up to which a plain network of few layers does


def guess_classes(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a classifier: an image beside a field of few distinct values."""
    fields = columns_of(sample)
    image = next((name for name, column in fields.items() if _sides(name, column)), None)
    found = [(name, k) for name, column in fields.items() if (k := classes_in(column))]
    named = [item for item in found if last_of(item[0]) in LABELS]
    if image is None or not (named or found):
        return None
    label, classes = min(named or found, key=lambda item: item[1])
    sides = _sides(image, fields[image])
    small = max(sides) <= _SMALL
    names = {"image": image, "label": label}
    return Guess(
        confidence=0.95 if named else 0.7,
        fields={ours: theirs for ours, theirs in names.items() if ours != theirs},
        task={
            **({} if small else {"image_size": 128}),
            "augmentations": [{"name": "crop", "padding": 2}, "flip"]
            if small
            else ["resized-crop", "flip"],
        },
        model={"name": "cnn"} if small else {"name": "resnet"},
        why=f"{label!r} has {classes} values beside the image {image!r}",
    )


def _sides(name: str, column: list[Any]) -> list[int]:
    """Return the larger side of some images of a column; empty if it is none of images."""
    if not all(holds_media(value) for value in column):
        return []
    sides: list[int] = []
    for value in islice(column, _TRIED):
        try:
            media = media_in({name: value}, name)
            if media is None:
                return []
            sides.append(max(decode(media, 3).shape[:2]))
        except LubanError:  # one may be damaged
            continue
    return sides
