"""Which fields of unknown records hold a text and its label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from luban.core.contracts import Guess, Record
from luban.data.media.media_files import holds_media
from luban.init.recognisers._fields import (
    LABELS,
    UNNAMED,
    bare,
    by_name,
    classes_in,
    columns_of,
    counted,
    last_of,
    renamed,
)
from luban.init.recognisers._texts import characters_task, text_fields, text_task

#: Fields of a question with choices: its label is the place of the right one.
CHOICES = re.compile(
    r"(choice|option|ending|answer|sol|opt)s?[_ ]?([0-9a-e]|list)?|choices|endings"
)


#: How ``linear`` is trained: some 8 passes, and steps enough for the weights to grow.
_BATCH, _EPOCHS, _MOST_EPOCHS, _STEPS, _MANY, _VALIDATIONS = 64, 8, 60, 400, 50_000, 16
_L2 = 0.05  #: of all examples together: C = 20 of scikit-learn
_CHOICE = (
    "linear: TF-IDF and logistic regression, seconds to train and hard to beat without a "
    "pretrained encoder (docs/benchmarks.md); weight_decay is 0.05 / records"
)


#: What stands where a label is not known.
_NONE = frozenset(("", "-", "?", "nan", "null", "none", "n/a", "unknown", "-1", "-100"))


_IDS = ("id", "idx", "index", "guid", "uid", "qid", "sid", "unnamed0", "")


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a classifier: a text beside a field of few distinct values."""
    fields = columns_of(sample)
    if not sample or any(map(holds_media, sample[0].values())):
        return None
    found = {name: k for name, column in fields.items() if (k := classes_in(column))}
    first, second = text_fields(fields)
    named = by_name([*found], LABELS)
    label = named or min(found, key=lambda name: found[name], default=None)
    if first is None or label is None or label in (first, second):
        return None
    # Without a name that says so, a label must be the only one, and nothing else be there.
    others = {name for name in fields if bare(name) not in _IDS} - {first, second, label}
    clear = not others or all(map(UNNAMED.fullmatch, fields))
    sure = 0.9 if named else 0.7 if clear and _only(fields, found) else 0.35
    if any(CHOICES.fullmatch(last_of(name)) for name in fields):
        sure = 0.35
    labels = counted(fields[label])
    without = tuple(name for name in labels if name.strip().lower() in _NONE)
    held = {name: times for name, times in labels.items() if name not in without}
    pair = f" and {second!r}" if second else ""
    texts = [text for text in fields[first] if isinstance(text, str)]
    return Guess(
        confidence=sure,
        fields=renamed({"text": first, "text_pair": second, "label": label}),
        task=text_task(texts) if second else characters_task(texts),
        model={"name": "textcnn" if second else "linear"},
        why=f"{label!r} has {len(held)} values beside the text {first!r}{pair}",
        labels=held,
        without=without,
    )


def sized(guess: Guess, records: int) -> Guess:
    """Return the guess with what depends on the number of records: how long, and how much L2.

    Measured by ``benchmarks/defaults.py`` on every set of texts with labels.
    """
    if guess.model["name"] != "linear":
        return guess
    few = min(_MOST_EPOCHS, _STEPS * _BATCH // records)  # passes that make steps enough
    many = max(2, _EPOCHS * _MANY // records)  # passes that time allows
    epochs = max(few, min(_EPOCHS, many))
    steps = epochs * records // _BATCH
    train = {
        "num_train_epochs": epochs,
        "batch_size": _BATCH,
        "optimizer": {
            "name": "adam",
            "learning_rate": 0.02,
            "weight_decay": float(f"{_L2 / records:.1g}"),
        },
        "schedule": "linear",
        "eval_steps": max(5, steps // _VALIDATIONS),
    }
    return replace(guess, train=train, choice=_CHOICE)


def _only(fields: dict[str, list[Any]], found: dict[str, int]) -> bool:
    """Return whether one column alone can be that of labels, but for some that have one value."""
    return len([name for name in found if len(set(map(str, fields[name]))) > 1]) == 1
