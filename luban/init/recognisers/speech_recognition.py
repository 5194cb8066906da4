"""Which fields of unknown records hold a recording and what is said in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from luban.core.contracts import Guess, Record
from luban.data.media.media_files import Media
from luban.init.recognisers._audio import epochs_for, features_for, recording_field
from luban.init.recognisers._fields import UNNAMED, classes_in, columns_of, last_of, renamed

_TEXTS = ("text", "transcript", "transcription", "sentence", "normalized_text", "words")


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a recogniser: a recording beside a text."""
    fields = columns_of(sample)
    audio = recording_field(fields)
    texts = [name for name, column in fields.items() if _is_text(column)]
    named = [name for wanted in _TEXTS for name in texts if last_of(name) == wanted]
    if audio is not None and all(map(UNNAMED.fullmatch, texts)):
        # Of columns without names, the last one: after the text as it is comes the one as read.
        named = [name for name in texts if not _names(fields[name], fields[audio])][-1:]
    told = not named and audio is not None and "label" in fields and classes_in(fields["label"])
    if audio is None or not (named or told):
        return None
    named = named or ["label"]
    return Guess(
        confidence=0.5 if told else 0.95,
        fields=renamed({"audio": audio, "text": named[0]}),
        task={
            **features_for(fields[audio]),
            "augmentations": ["speed-perturbation", "spec-augment"],
        },
        model={"name": "conformer"},
        train=epochs_for(len(sample), 2000),
        why=f"the recording {audio!r} stands beside "
        + (f"{named[0]!r}, which may be said in it" if told else f"the text {named[0]!r}"),
    )


def _names(column: list[Any], audio: list[Any]) -> bool:
    """Return whether a column holds the names of recordings, or what few classes are called."""
    pairs = zip(column, audio, strict=True)
    named = all(isinstance(one, Media) and PurePath(one.name).stem == text for text, one in pairs)
    return named or bool(classes_in(column))


def _is_text(column: list[Any]) -> bool:
    return all(isinstance(value, str) and value.strip() for value in column)
