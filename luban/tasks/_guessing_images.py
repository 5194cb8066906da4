"""Which fields of unknown records hold an image, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from luban.core.contracts import Guess, Record
from luban.core.errors import DataError
from luban.data.files.records import NO, YES
from luban.data.media.images import decode
from luban.data.media.media_files import Array, holds_media, media_in
from luban.tasks._guessing import LABELS, bare, classes_in, columns_of, counted
from luban.tasks.answers.objects import objects_of

_TRIED = 8  #: values of a field that must be images
_SMALL = 64  #: pixels a side, up to which a plain network of few layers does
_LARGE = 320  #: pixels of the longer side that a detector sees
_UNIT = 4  #: what sides of the images that are made must be multiples of


def guess_classes(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a classifier: an image beside what can be its label, or several."""
    fields = columns_of(sample)
    image, images = _image(fields)
    told = _label(fields) if images else None
    if told is None:
        return None
    small = max(max(pixels.shape) for pixels in images) <= _SMALL
    names = {"image": image, "label": told.label}
    return Guess(
        confidence=0.95 if told.named else 0.7,
        fields={ours: theirs for ours, theirs in names.items() if ours != theirs},
        task={
            **({"label_separator": told.separator} if told.separator else {}),
            **(_small(images) if small else _LARGER),
        },
        model={"name": "cnn"} if small else {"name": "resnet"},
        train=_train(len(sample), *((64, 2000, 0.003) if small else (32, 1500, 0.001))),
        why=f"{told.what} beside the image {image!r}",
        labels=_seen_labels(fields, told),
    )


def guess_objects(sample: Sequence[Record]) -> Guess | None:
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
            **_seen(_images("image", [record["image"] for record in sample])),
            "augmentations": ["scale-jitter", "flip", "color-jitter"],
        },
        model={"name": "fcos"},
        train={**_train(len(sample), 8, 2000, 0.002), "max_grad_norm": 5.0, "ema_decay": 0.99},
        why=f"images with {each:.1f} boxes each",
        labels=counted(found),
    )


def guess_makers(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a model that makes images: there are some, whatever else there is."""
    fields = columns_of(sample)
    image, images = _image(fields)
    if not images:
        return None
    labelled = "label" in fields and classes_in(fields["label"]) > 0
    height, width = (max(_UNIT, round(side / _UNIT) * _UNIT) for side in _median(images, _SMALL))
    return Guess(
        confidence=0.4,
        fields={"image": image} if image != "image" else {},
        task={"image_size": [height, width], **({"guidance_scale": 2.0} if labelled else {})},
        model={"name": "unet", "block_out_channels": [32, 64], "patch_size": 2},
        train={
            **_train(len(sample), 32, 4000, 0.001),
            "ema_decay": 0.99,
            "load_best_model_at_end": False,
        },
        why=f"the image {image!r} can be learned to be made",
    )


def _seen_labels(fields: dict[str, list[Any]], told: _Label) -> dict[str, int]:
    """Return how often each label was seen."""
    if isinstance(told.label, list):
        yes = {name: sum(map(bool, map(_flag, fields[name]))) for name in told.label}
        return dict(sorted(yes.items(), key=lambda item: -item[1]))
    column = fields[told.label]
    if told.separator:
        column = [[p.strip() for p in str(v).split(told.separator) if p.strip()] for v in column]
    return counted(column)


class _Label(NamedTuple):
    """Where labels stand: in a column, between separators in it, or in columns of 0 and 1."""

    label: str | list[str]
    what: str
    named: bool
    separator: str = ""


def _label(fields: dict[str, list[Any]]) -> _Label | None:
    known = [name for name in fields if bare(name) in LABELS]
    for name in [*known, *(name for name in fields if name not in known)]:
        if separator := _separator(fields[name], name in known):
            kinds = len(_parts(fields[name], separator))
            what = f"{name!r} has lists of {kinds} values, divided by {separator!r},"
            return _Label(name, what, name in known, separator)
    found = {name: kinds for name, column in fields.items() if (kinds := classes_in(column))}
    flags = [name for name, column in fields.items() if {*map(_flag, column)} <= {True, False}]
    named = {name: kinds for name, kinds in found.items() if name in known}
    if not named and len(flags) > max(1, len(found.keys() - {*flags})):
        shown = ", ".join(flags[:3]) + (" …" if len(flags) > 3 else "")
        return _Label(flags, f"{len(flags)} columns say yes or no ({shown})", named=False)
    if not found:
        return None
    label, kinds = min((named or found).items(), key=lambda item: item[1])
    return _Label(label, f"{label!r} has {kinds} values", bool(named))


def _separator(column: list[Any], named: bool) -> str:
    """Return what divides the labels in a column of strings; empty: each is one label."""
    if not all(isinstance(value, str) for value in column):
        return ""
    for mark in "|;, " if named else "|;":
        if any(mark in value for value in column):
            parts = [part for value in column for part in value.split(mark) if part.strip()]
            return mark if len({*parts}) < len({*column}) and classes_in(parts) else ""
    return ""


def _parts(column: list[Any], mark: str) -> set[str]:
    return {part.strip() for value in column for part in value.split(mark)} - {""}


def _flag(value: Any) -> bool | None:
    text = str(value).strip().lower()
    return text in YES if text and text in (*YES, *NO) else None


_LARGER: dict[str, Any] = {"image_size": 128, "augmentations": ["random-resized-crop", "flip"]}


def _small(images: Sequence[Array]) -> dict[str, Any]:
    """Return what to do with small images: grey ones may be digits, which mirrors would change."""
    coloured = any((pixels[..., :1] != pixels).any() for pixels in images)
    return {
        "augmentations": [{"name": "random-crop", "padding": 2}, *(["flip"] if coloured else [])]
    }


def _seen(images: Sequence[Array]) -> dict[str, Any]:
    """Return height and width for a detector, in the proportion that the images have mostly."""
    sides = [max(32, round(side / 16) * 16) for side in _median(images, _LARGE)] if images else []
    return {"image_size": sides} if sides else {}


def _median(images: Sequence[Array], most: int) -> tuple[float, float]:
    """Return the usual height and width, made smaller so that neither exceeds ``most``."""
    height, width = np.median([pixels.shape[:2] for pixels in images], axis=0)
    scale = min(1.0, most / max(height, width))
    return float(height * scale), float(width * scale)


def _train(examples: int, batch_size: int, steps: int, learning_rate: float) -> dict[str, Any]:
    """Return a training of so many steps; of fewer where that were more than 200 epochs."""
    steps = min(steps, max(100, 200 * examples // batch_size))
    return {
        "max_steps": steps,
        "batch_size": batch_size,
        "optimizer": {"name": "adamw", "learning_rate": learning_rate},
        "schedule": {"name": "cosine", "warmup_ratio": 0.1},
        "eval_steps": steps // 10,
    }


def _image(fields: dict[str, list[Any]]) -> tuple[str, list[Array]]:
    """Return the first field that holds images, and some of these; no images if none does."""
    found = ((name, _images(name, column)) for name, column in fields.items())
    return next(((name, images) for name, images in found if images), ("", []))


def _images(name: str, column: list[Any]) -> list[Array]:
    """Return some images of a column; none if it is one of other things."""
    if not all(holds_media(value) for value in column):
        return []
    images: list[Array] = []
    for value in islice(column, _TRIED):
        try:
            media = media_in({name: value}, name)
            if media is None:
                return []
            images.append(decode(media, 3))
        except DataError:  # one may be damaged
            continue
    return images
