"""Where a run shows what it does."""

from __future__ import annotations

from typing import Protocol


class Console(Protocol):
    """Where a run shows what it does; stages never print."""

    def say(self, text: str) -> None:
        """Show one line."""

    def progress(self, label: str, done: float, total: float, facts: str = "") -> None:
        """Show how far a long piece of work has come."""


class Silent:
    """A console that shows nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""

    def progress(self, label: str, done: float, total: float, facts: str = "") -> None:
        """Show nothing."""
