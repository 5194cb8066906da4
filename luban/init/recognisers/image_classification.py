"""Which fields of unknown records hold an image and its label, or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from luban.core.contracts import Guess, Record
from luban.data.files.records import NO, YES
from luban.data.media.media_files import Array
from luban.init.recognisers._fields import LABELS, bare, classes_in, columns_of, counted
from luban.init.recognisers._images import SMALL, image_field, image_training


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a classifier: an image beside what can be its label, or several."""
    fields = columns_of(sample)
    image, images = image_field(fields)
    told = _label(fields) if images else None
    if told is None:
        return None
    small = max(max(pixels.shape) for pixels in images) <= SMALL
    names = {"image": image, "label": told.label}
    return Guess(
        confidence=0.95 if told.named else 0.7,
        fields={ours: theirs for ours, theirs in names.items() if ours != theirs},
        task={
            **({"label_separator": told.separator} if told.separator else {}),
            **(_small(images) if small else _LARGER),
        },
        model={"name": "cnn"} if small else {"name": "resnet"},
        train=image_training(len(sample), *((64, 2000, 0.003) if small else (32, 1500, 0.001))),
        why=f"{told.what} beside the image {image!r}",
        labels=_seen_labels(fields, told),
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
