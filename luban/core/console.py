"""Where a run shows what it does."""

from __future__ import annotations

from typing import Protocol


class Console(Protocol):
    """Where a run says what it does; stages never print. ``core.progress`` tells how far it is."""

    def say(self, text: str) -> None:
        """Show one line."""


class Silent:
    """A console that shows nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""
