"""List every component there is, by kind, with one line about each."""

from __future__ import annotations

import argparse
import json

from rich.table import Table
from rich.text import Text

from luban.cli.console import output
from luban.core import registry
from luban.recipe import json_schema

KINDS = (
    "sources", "cleaners", "augmentations", "tokenizers", "tasks", "models", "metrics",
    "optimizers", "schedules", "mechanisms", "adapters", "objectives", "exporters", "trackers",
    "stages",
)  # fmt: skip


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("what", nargs="?", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument(
        "--json-schema", action="store_true", help="print the JSON Schema of recipes, for editors"
    )


def perform(args: argparse.Namespace) -> int:
    """Print the components of one kind or of all."""
    if args.json_schema:
        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
        return 0
    if args.what and args.what not in KINDS:
        raise registry.unknown_kind(args.what, KINDS)
    found = {
        kind: {name: registry.summary(kind, name) for name in registry.names(kind)}
        for kind in ([args.what] if args.what else KINDS)
    }
    if args.json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    table = Table(box=None, pad_edge=False, show_header=False)
    for kind, members in found.items():
        table.add_row(Text(kind, "bold"), "")
        for name, line in members.items():
            table.add_row(f"  {name}", line)
    output().print(table)
    return 0
