"""Which fields of unknown records hold a recording, and what is told of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from luban.core.contracts import Guess, Record
from luban.core.errors import LubanError
from luban.data.media.audio import form_of, is_recording
from luban.data.media.media_files import Media, media_in
from luban.tasks._guessing import LABELS, by_name, classes_in, columns_of, counted, last_of

_TRIED = 16  #: recordings whose form is looked at
_UNNAMED = re.compile(r"column\d+")
_TEXTS = ("text", "transcript", "transcription", "sentence", "normalized_text", "words")


def guess_transcripts(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a recogniser: a recording beside a text."""
    fields = columns_of(sample)
    audio = _recordings(fields)
    texts = [name for name, column in fields.items() if _is_text(column)]
    named = [name for wanted in _TEXTS for name in texts if last_of(name) == wanted]
    if audio is not None and all(map(_UNNAMED.fullmatch, texts)):
        # Of columns without names, the last one: after the text as it is comes the one as read.
        named = [name for name in texts if not _names(fields[name], fields[audio])][-1:]
    told = not named and audio is not None and "label" in fields and classes_in(fields["label"])
    if audio is None or not (named or told):
        return None
    named = named or ["label"]
    return Guess(
        confidence=0.5 if told else 0.95,
        fields=_renamed({"audio": audio, "text": named[0]}),
        task={**_task(fields[audio]), "augmentations": ["speed-perturbation", "spec-augment"]},
        model={"name": "conformer"},
        train=_train(len(sample), 2000),
        why=f"the recording {audio!r} stands beside "
        + (f"{named[0]!r}, which may be said in it" if told else f"the text {named[0]!r}"),
    )


def guess_sounds(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a classifier: a recording beside a field of few distinct values."""
    fields = columns_of(sample)
    audio = _recordings(fields)
    found = {name: k for name, column in fields.items() if (k := classes_in(column))}
    named = by_name([*found], LABELS)
    if audio is None or not found:
        return None
    label = named or min(found, key=lambda name: found[name])
    if named and (words := _same(fields, named, [*found])):
        label = words
    return Guess(
        confidence=0.9 if named else 0.6 if len(found) == 1 else 0.35,
        fields=_renamed({"audio": audio, "label": label}),
        task={**_task(fields[audio]), "augmentations": ["speed-perturbation", "spec-augment"]},
        model={"name": "conformer"},
        train=_train(len(sample), 1000),
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


def _task(column: list[Any]) -> dict[str, Any]:
    """Return the form of the recordings: the lowest of their rates, and short ones in detail."""
    forms = []
    for value in column[:_TRIED]:
        try:
            if isinstance(media := media_in({"audio": value}, "audio"), Media):
                forms.append(form_of(media))
        except LubanError:  # one may be damaged
            continue
    if not forms:
        return {}
    rate, short = min(rate for rate, _ in forms), min(seconds for _, seconds in forms) < 1
    slow = {"sampling_rate": rate, "feature_size": 40} if 1000 <= rate < 16_000 else {}
    return {**slow, **({"stride": 2} if short else {})}


def _train(examples: int, steps: int) -> dict[str, Any]:
    """Return epochs enough for about so many steps of 32."""
    return {"num_train_epochs": min(200, max(10, round(steps * 32 / max(1, examples))))}


def _recordings(fields: dict[str, list[Any]]) -> str | None:
    """Return the first field that holds nothing but recordings."""
    return next((name for name, column in fields.items() if all(map(is_recording, column))), None)


def _names(column: list[Any], audio: list[Any]) -> bool:
    """Return whether a column holds the names of recordings, or what few classes are called."""
    pairs = zip(column, audio, strict=True)
    named = all(isinstance(one, Media) and PurePath(one.name).stem == text for text, one in pairs)
    return named or bool(classes_in(column))


def _is_text(column: list[Any]) -> bool:
    return all(isinstance(value, str) and value.strip() for value in column)


def _renamed(names: dict[str, str]) -> dict[str, str]:
    return {ours: theirs for ours, theirs in names.items() if ours != theirs}
