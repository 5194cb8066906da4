"""Edits that make a transcript its reference, counted by jiwer (Levenshtein 1966).

Shapes: N recordings.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from luban.core.contracts import Statistics
from luban.core.extras import require
from luban.metrics._units import units


def word_edits(said: str, meant: str) -> Statistics:
    """Return replaced, missing and added words, and how many the reference has.

    In scripts without blanks a character is a word by itself.

    Raises:
        MissingExtra: without jiwer.
    """
    found = _jiwer().process_words(" ".join(units(meant)), " ".join(units(said)))
    return _row(found)


def character_edits(said: str, meant: str) -> Statistics:
    """Return replaced, missing and added characters, and how many the reference has.

    Runs of blanks count as one.

    Raises:
        MissingExtra: without jiwer.
    """
    found = _jiwer().process_characters(" ".join(meant.split()), " ".join(said.split()))
    return _row(found)


def rate(rows: np.ndarray[Any, Any]) -> float:
    """Return the edits of all rows (N, 4) over the length of all references."""
    return float(rows[:, :3].sum() / max(1.0, rows[:, 3].sum()))


def kinds(rows: np.ndarray[Any, Any]) -> str:
    """Return how many edits of each kind there were."""
    replaced, missing, added = (int(n) for n in rows[:, :3].sum(0))
    nothing = int((rows[:, 3] == 0).sum())
    empty = f"; {nothing:,} of {len(rows):,} references are empty" if nothing else ""
    return f"{replaced:,} replaced, {missing:,} missing, {added:,} added{empty}"


def _row(found: Any) -> Statistics:
    edits = (found.substitutions, found.deletions, found.insertions)
    return (*map(float, edits), float(found.hits + found.substitutions + found.deletions))


def _jiwer() -> Any:
    return require("jiwer", "audio")
