"""Transcripts: how they are written, and which tokens follow each other in them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from luban.core.errors import RunError
from luban.core.unicode_text import only_letters
from luban.data.baselines.ngrams import KneserNey
from luban.data.files.reading import open_text

Array: TypeAlias = "np.ndarray[Any, Any]"

LANGUAGE_MODEL = "language_model.safetensors"
#: Apostrophes, and the Hebrew signs of abbreviation.
_APOSTROPHES = "'\u2019\u05f3\u05f4"


def written(text: str, *, lowercase: bool, strip_punctuation: bool) -> str:
    """Return a transcript as it is learned: blanks never double, and what was asked for.

    Punctuation and symbols become blanks; apostrophes between letters stay.
    """
    if lowercase:
        text = text.lower()
    if strip_punctuation:
        text = "".join(
            " " if unicodedata.category(c)[0] in "PS" and not _inside(text, i) else c
            for i, c in enumerate(text)
        )
    return " ".join(text.split())


def changes(*, lowercase: bool, strip_punctuation: bool) -> str:
    """Return what ``written`` does, for people."""
    done = ["lower case"] * lowercase + ["no punctuation"] * strip_punctuation
    return f"texts compared in {' and with '.join(done)}" if done else ""


def needed(ids: Sequence[int] | Array) -> int:
    """Return the fewest positions that can say tokens: repeats need a blank in between."""
    found = np.asarray(ids)
    return len(found) + int(np.count_nonzero(found[1:] == found[:-1]))


def lines_of(path: str) -> Iterable[str]:
    """Yield the lines of a text file.

    Raises:
        DataError: if it cannot be read.
    """
    with open_text(Path(path).expanduser()) as file:
        yield from (line for line in file if line.strip())


class Continuations:
    """A language model over the tokens of transcripts: n-grams, Kneser-Ney smoothed.

    Args:
        model: Over tokens, with ``end`` between transcripts.
        end: The token that ends a transcript.
    """

    def __init__(self, model: KneserNey, end: int) -> None:
        self._model, self._end = model, end

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]], size: int, end: int, order: int) -> Continuations:
        """Return what is learned from transcripts, as tokens of a vocabulary of ``size``."""
        joined = [end]
        for row in rows:
            joined += [*row, end]
        return cls(KneserNey(np.array(joined), size, order=order), end)

    def __call__(self, text: Sequence[int]) -> Array:
        """Return the log-probability of each token after a text, (V,)."""
        return self._model.following([self._end, *text])

    def save(self, folder: Path) -> None:
        """Write the counts."""
        arrays = {name: np.ascontiguousarray(a) for name, a in self._model.arrays().items()}
        save_file(arrays, folder / LANGUAGE_MODEL)

    @classmethod
    def load(cls, folder: Path, end: int) -> Continuations:
        """Return what ``save`` wrote.

        Raises:
            RunError: if it is missing or damaged.
        """
        try:
            return cls(KneserNey.of(load_file(folder / LANGUAGE_MODEL)), end)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise RunError(
                "the language model is missing or damaged.",
                where=folder / LANGUAGE_MODEL,
                got=str(error),
            ) from None


def _inside(text: str, at: int) -> bool:
    """Whether the character there is an apostrophe between letters."""
    around = text[max(0, at - 1) : at] + text[at + 1 : at + 2]
    return (
        text[at] in _APOSTROPHES and bool(text[:at]) and len(text) > at + 1 and only_letters(around)
    )


def shortened(text: str) -> str:
    """Return a text of at most 40 characters, for a figure."""
    return text if len(text) <= 40 else f"{text[:39]}…"
