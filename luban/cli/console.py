"""What is printed as a result: reports as tables, on standard output."""

from __future__ import annotations

from rich.console import Console as Rich
from rich.table import Table

from luban.card import tables
from luban.core.report import Report


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
