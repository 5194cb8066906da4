"""Which fields of unknown records hold a recording and its label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luban.core.contracts import Guess, Record
from luban.init.recognisers._audio import epochs_for, features_for, recording_field
from luban.init.recognisers._fields import LABELS, by_name, classes_in, columns_of, counted, renamed


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a classifier: a recording beside a field of few distinct values."""
    fields = columns_of(sample)
    audio = recording_field(fields)
    found = {name: k for name, column in fields.items() if (k := classes_in(column))}
    named = by_name([*found], LABELS)
    if audio is None or not found:
        return None
    label = named or min(found, key=lambda name: found[name])
    if named and (words := _same(fields, named, [*found])):
        label = words
    return Guess(
        confidence=0.9 if named else 0.6 if len(found) == 1 else 0.35,
        fields=renamed({"audio": audio, "label": label}),
        task={
            **features_for(fields[audio]),
            "augmentations": ["speed-perturbation", "spec-augment"],
        },
        model={"name": "conformer"},
        train=epochs_for(len(sample), 1000),
        why=f"{label!r} has {found[label]} values beside the recording {audio!r}",
        labels=counted(fields[label]),
    )


def _same(fields: dict[str, list[Any]], label: str, others: Sequence[str]) -> str:
    """Return the field of labels that names in words what another gives in numbers."""
    if not all(str(value).isdecimal() for value in fields[label]):
        return ""
    for name in others:
        pairs = {*zip(map(str, fields[label]), map(str, fields[name]), strict=True)}
        kinds = {len({*map(str, fields[one])}) for one in (label, name)}
        words = not any(str(value).isdecimal() for value in fields[name])
        if name != label and words and kinds == {len(pairs)}:
            return name
    return ""
