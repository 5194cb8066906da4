"""What a task of many classes, or another that is too large for a metric, says of it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class LeavesOut(Protocol):
    """A task that may leave out a metric which tasks of its sort usually have."""

    def left_out(self) -> tuple[str, ...]:
        """Return a sentence for the card about each metric left out, with the reason."""
        ...
