"""Which fields of unknown records hold a recording, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luban.core.contracts import Guess, Record
from luban.data.audio import is_recording
from luban.tasks._guessing import LABELS, classes_in, columns_of, last_of

_TEXTS = ("text", "transcript", "transcription", "sentence", "normalized_text", "words")


def guess_transcripts(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a recogniser: a recording beside a text."""
    fields = columns_of(sample)
    audio = _recordings(fields)
    texts = [name for name, column in fields.items() if _is_text(column)]
    named = [name for wanted in _TEXTS for name in texts if last_of(name) == wanted]
    if audio is None or not named:
        return None
    return Guess(
        confidence=0.95,
        fields=_renamed({"audio": audio, "text": named[0]}),
        task={"augmentations": ["speed", "spec-augment"]},
        model={"name": "conformer"},
        why=f"the recording {audio!r} stands beside the text {named[0]!r}",
    )


def guess_sounds(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a classifier: a recording beside a field of few distinct values."""
    fields = columns_of(sample)
    audio = _recordings(fields)
    found = [(name, k) for name, column in fields.items() if (k := classes_in(column))]
    named = [item for item in found if last_of(item[0]) in LABELS]
    if audio is None or not found:
        return None
    label, classes = min(named or found, key=lambda item: item[1])
    return Guess(
        confidence=0.9 if named else 0.6,
        fields=_renamed({"audio": audio, "label": label}),
        task={"augmentations": ["speed", "spec-augment"]},
        model={"name": "conformer"},
        why=f"{label!r} has {classes} values beside the recording {audio!r}",
    )


def _recordings(fields: dict[str, list[Any]]) -> str | None:
    """Return the first field that holds nothing but recordings."""
    return next((name for name, column in fields.items() if all(map(is_recording, column))), None)


def _is_text(column: list[Any]) -> bool:
    return all(isinstance(value, str) and value.strip() for value in column)


def _renamed(names: dict[str, str]) -> dict[str, str]:
    return {ours: theirs for ours, theirs in names.items() if ours != theirs}
