"""The error for a label that no training record has."""

from __future__ import annotations

from collections.abc import Sequence

from luban.core.contracts import Record
from luban.core.errors import UnknownLabelError
from luban.core.registry import nearest

_SHOWN = 20  #: labels named in a message
#: Labels among which the nearest is looked for. The error is made for each such record and only
#: counted for most: among thousands of labels, that would take milliseconds a record.
_COMPARED = 200
_FIX = "put examples of it into the training split, or drop the row."


def unknown_label(
    label: str, known: Sequence[str], record: Record, what: str = ""
) -> UnknownLabelError:
    """Return the error for a record with a label that is not among those of training records.

    Args:
        label: The label.
        known: Those of training records.
        record: The record.
        what: The sentence that says so, if labels are called otherwise.
    """
    return UnknownLabelError(
        what or f"the label {label!r} does not occur in the training records.",
        where=record.get("_where", ""),
        expected=shown(known),
        fix=(nearest(label, list(known)) if len(known) <= _COMPARED else "") or _FIX,
    )


def shown(labels: Sequence[str]) -> str:
    """Return the first labels, and how many more there are."""
    more = len(labels) - _SHOWN
    return ", ".join(labels[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
