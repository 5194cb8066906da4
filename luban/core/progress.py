"""Progress of long work, reported from anywhere to whoever shows it.

    with doing("draw samples"):
        for batch in tracked(batches, "draw samples"):
            ...

Whoever shows progress listens (``listening``); without a listener nothing happens. A listener that
knows what is being done can also show that it goes on where the work itself cannot report: the
console of the command line writes a line whenever nothing was shown for some seconds (ADR 0022).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")

#: Seconds between two reports of one loop: reporting must cost nothing.
_EVERY = 0.1


class Listener(Protocol):
    """What shows progress."""

    def begin(self, label: str) -> None:
        """Take note that a piece of work begins, inside the one that is being done."""

    def end(self) -> None:
        """Take note that the piece of work that began last has ended."""

    def progress(self, label: str, done: float, total: float, facts: str = "") -> None:
        """Show how far a piece of work has come; a ``total`` of 0 is not known."""


_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let a listener hear of all work of this thread in this context."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def doing(label: str) -> Iterator[None]:
    """Say what is being done in this context."""
    listener = _listener.get()
    if listener is None:
        yield
        return
    listener.begin(label)
    try:
        yield
    finally:
        listener.end()


def report(label: str, done: float, total: float, facts: str = "") -> None:
    """Say how far a piece of work has come."""
    listener = _listener.get()
    if listener is not None:
        listener.progress(label, done, total, facts)


def tracked(items: Iterable[T], label: str, total: float | None = None) -> Iterator[T]:
    """Yield items, and report how many of them are done.

    Args:
        items: What is worked through.
        label: What is being done.
        total: How many items there are; by default their ``len``, if they have one.
    """
    if _listener.get() is None:
        yield from items
        return
    size = total if total is not None else len(items) if isinstance(items, Sized) else 0
    with doing(label):
        due = 0.0
        for done, item in enumerate(items):
            if (now := time.monotonic()) >= due:
                report(label, done, size)
                due = now + _EVERY
            yield item
