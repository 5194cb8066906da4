"""The bounds that docs/explanation/security.md promises are those of the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from luban.cli.verbs.serve import LIMITS
from luban.inference.stops import MOST_STOP_CHARACTERS, MOST_STOPS
from luban.serving.route import Limits
from luban.serving.routes._chat_schema import MOST_MESSAGES
from luban.serving.strict_json import MOST_DEPTH, MOST_NAMES, MOST_VALUES

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "security.md"
FIXED = {
    "values in a body of JSON": MOST_VALUES,
    "names in one object of JSON": MOST_NAMES,
    "depth of JSON": MOST_DEPTH,
    "stop texts": MOST_STOPS,
    "characters of a stop text": MOST_STOP_CHARACTERS,
    "messages of a conversation": MOST_MESSAGES,
}


def test_the_options_are_those_of_the_code() -> None:
    lines = [
        f"| `--{f.name.replace('_', '-')}` | {f.default:,} | {LIMITS[f.name]} |"
        for f in fields(Limits)
    ]
    assert _rows("limits") == lines, "\n".join(lines)


def test_the_fixed_bounds_are_those_of_the_code() -> None:
    lines = [f"| {name} | {value:,} |" for name, value in FIXED.items()]
    assert _rows("fixed") == lines, "\n".join(lines)


def _rows(name: str) -> list[str]:
    found = re.search(f"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", PAGE.read_text("utf-8"), re.S)
    assert found is not None
    return found[1].splitlines()[2:]
