"""What a run shows: a progress bar on a terminal, plain lines elsewhere.

Whatever is done, something is shown at least every ``EVERY`` seconds: a thread of its own looks
whether it is time for a sign of life, so that no work can be silent because it does not report.
It is there before torch is loaded, so rich is loaded where it is needed only.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from luban.core.progress import listening

if TYPE_CHECKING:
    from rich.console import Console as Rich
    from rich.progress import Progress, TaskID

#: Seconds after which something is shown again.
EVERY = 4.0

_LOOK = 16  #: how often in that time the thread looks whether it is time
_DEEP = 3  #: how many pieces of work are named, each inside the one before
_SHORT = 1.0  #: seconds of work that is not worth a bar of its own


@dataclass(slots=True)
class _Work:
    """A piece of work, and how far it has come."""

    label: str
    done: float = 0.0
    total: float = 0.0
    facts: str = ""
    since: float = field(default_factory=time.monotonic)
    shown: bool = False

    def name(self) -> str:
        """Return what it is, and how far it has come."""
        share = f"{100 * min(1.0, self.done / self.total):.0f} %" if self.total else ""
        if not self.total and self.done:
            share = f"{self.done:,.0f}"
        return f"{self.label} {share}".rstrip()

    def seconds(self) -> str:
        """Return how long it has taken."""
        return f"({time.monotonic() - self.since:.0f} s)"


class Terminal:
    """The console of the command line; everything goes to standard error, results to output.

    Args:
        every: Seconds after which something is shown again.
    """

    def __init__(self, every: float = EVERY) -> None:
        self.every = every
        self._lock = threading.RLock()
        self._stack: list[_Work] = []
        self._now: _Work | None = None  # what was reported last, until something begins or ends
        self._bar: tuple[Progress, TaskID, _Work] | None = None
        self._shown = time.monotonic()

    @cached_property
    def rich(self) -> Rich:
        """What prints on standard error."""
        from rich.console import Console

        return Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Show one line, above the bar if there is one."""
        with self._lock:
            self.rich.print(text, markup=False, soft_wrap=True)
            self._shown = time.monotonic()

    def begin(self, label: str) -> None:
        """Take note of what is done from now on."""
        with self._lock:
            self._now = None
            self._stack.append(_Work(label))

    def end(self) -> None:
        """Take note that it has ended."""
        with self._lock:
            self._now = None
            if self._stack:
                self._stack.pop()
            self._close_if_other()

    def progress(self, label: str, done: float, total: float, facts: str = "") -> None:
        """Show how far a piece of work has come; it ends when ``done`` reaches ``total``."""
        with self._lock:
            work = self._work()
            if work is None or work.label != label:
                work = self._now = _Work(label)
            work.done, work.total, work.facts = done, total, facts
            if total and done >= total:
                if work.shown and not self.rich.is_terminal:
                    self._print(work)
                work.done, work.total, work.facts = 0.0, 0.0, ""
                self._now = None
                self._close_if_other()
            else:
                self._beat()

    @contextmanager
    def beating(self, label: str) -> Iterator[None]:
        """Do something of that name: listen to it, and show a sign of life while it goes on."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(self.every / _LOOK):
                with self._lock:
                    self._beat()

        self._shown = time.monotonic()
        self.begin(label)
        thread = threading.Thread(target=look, name="luban-progress", daemon=True)
        thread.start()
        try:
            with listening(self):
                yield
        finally:
            over.set()
            thread.join()
            with self._lock:
                self._stack.clear()
                self._now = None
                self.close()

    def rest(self) -> None:
        """Show no more signs of life: what comes waits for its user, or writes by itself."""
        with self._lock:
            self._stack.clear()
            self._now = None
            self.close()

    def close(self) -> None:
        """Take the bar off the screen."""
        with self._lock:
            if self._bar is not None:
                self._bar[0].stop()
            self._bar = None

    def _work(self) -> _Work | None:
        return self._now or (self._stack[-1] if self._stack else None)

    def _beat(self) -> None:
        """Show what is being done, if it is time."""
        work = self._work()
        if work is None:
            return
        if self.rich.is_terminal:
            self._draw(work)
        elif time.monotonic() - self._shown >= self.every * (1 - 1 / _LOOK):
            self._print(work)

    def _print(self, work: _Work) -> None:
        around = [each for each in self._stack[-_DEEP:] if each is not work]
        names = ": ".join(each.name() for each in (*around, work))
        line = " ".join(part for part in (names, work.facts, work.seconds()) if part)
        print(line, file=sys.stderr, flush=True)
        work.shown, self._shown = True, time.monotonic()

    def _draw(self, work: _Work) -> None:
        if self._bar is None or self._bar[2] is not work:
            if time.monotonic() - work.since < _SHORT and not work.total:
                return
            self.close()
            self._bar = self._new_bar(work)
        bar, number, _ = self._bar
        bar.update(number, completed=work.done, total=work.total or None, facts=work.facts)

    def _new_bar(self, work: _Work) -> tuple[Progress, TaskID, _Work]:
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[facts]}", style="cyan"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.rich,
            transient=True,
        )
        number = bar.add_task(work.label, total=None, facts="")
        bar.start()
        return bar, number, work

    def _close_if_other(self) -> None:
        if self._bar is not None and self._bar[2] is not self._work():
            self.close()


_current: list[Terminal] = []


def terminal() -> Terminal:
    """Return the console of this command, which shows signs of life; a new one if there is none."""
    return _current[-1] if _current else Terminal()


@contextmanager
def beating(label: str) -> Iterator[Terminal]:
    """Make the console of a command, and let it show signs of life until the command ends."""
    console = Terminal(EVERY)
    _current.append(console)
    try:
        with console.beating(label):
            yield console
    finally:
        _current.remove(console)
