"""What a run shows: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.console import Console as Rich
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from luban.card import tables
from luban.core.report import Report

#: Seconds between two plain lines about the same piece of work.
PLAIN_EVERY = 10.0


class Terminal:
    """The console of the command line; everything goes to standard error, results to output."""

    def __init__(self) -> None:
        self.rich = Rich(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._label = ""
        self._task: Any = None
        self._shown = 0.0

    def say(self, text: str) -> None:
        """Show one line, above the bar if there is one."""
        self.rich.print(text, markup=False, soft_wrap=True)

    def progress(self, label: str, done: float, total: float, facts: str = "") -> None:
        """Show how far a piece of work has come; it ends when ``done`` reaches ``total``."""
        if not self.rich.is_terminal:
            self._plain(label, done, total, facts)
            return
        if self._bar is None or label != self._label:
            self.close()
            self._bar = Progress(
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
            self._label, self._task = label, self._bar.add_task(label, total=total, facts=facts)
            self._bar.start()
        self._bar.update(self._task, completed=done, total=total, facts=facts)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _plain(self, label: str, done: float, total: float, facts: str) -> None:
        now = time.monotonic()
        if label == self._label and done < total and now - self._shown < PLAIN_EVERY:
            return
        if label != self._label:
            self._shown = now
            self._label = label
            if done < total:
                return
        self._shown = now
        share = f"{100 * done / total:3.0f} %" if total else ""
        print(f"{label} {share} {facts}".rstrip(), file=sys.stderr, flush=True)


def output() -> Rich:
    """Return what prints results: as wide as the terminal, and wide enough for a pipe."""
    console = Rich(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 140
    return console


def show_report(report: Report) -> None:
    """Print the claims of a report as tables on standard output, and its first sample."""
    console = output()
    for header, *rows in tables(report.claims):
        table = Table(box=None, pad_edge=False, header_style="bold")
        for index, column in enumerate([report.stage, *header[1:]]):
            if index == 0 or any(row[index] for row in rows):
                table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(c for i, c in enumerate(row) if i == 0 or any(r[i] for r in rows)))
        console.print(table)
    for sample in report.details.get("samples", ())[:1]:
        console.print("\na sample:", sample.strip(), "", sep="\n", markup=False, soft_wrap=True)
