"""Read the documentation: its code blocks, their marks, its links.

A block is marked by the HTML comment on the line before it:

``<!-- run -->``             run it (sh line by line, python as it stands)
``<!-- run with K=V … -->``  run it with these overrides at the end of each luban command
``<!-- run against RUN -->`` run it while this run is served at the address it names
``<!-- file: NAME -->``      write it to this file
``<!-- prints: COMMAND -->`` the command must print these lines; ``…`` stands for anything
``<!-- test`` … ``-->``      hidden Python, run in its place
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "README.zh.md", *(ROOT / "docs").rglob("*.md")],
    key=lambda path: path.relative_to(ROOT).as_posix(),
)
ADDRESS = "http://127.0.0.1:8000"

_BLOCK = re.compile(
    r"^<!-- test\n(?P<hidden>.*?)^-->$"
    r"|(?:^<!-- (?P<mark>[^\n]*?) -->\n)?"
    r"^(?P<fence>`{3,})(?P<language>\w*)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A code block and where it begins."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"

    def commands(self) -> list[str]:
        """The commands of a shell block, continued lines joined, comments left out."""
        if self.language != "sh":
            return []
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]

    def code(self) -> str:
        """The text without comments and blanks at the ends of lines, for comparing languages."""
        return "\n".join(re.sub(r"\s+#.*", "", line) for line in self.text.splitlines())


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match["hidden"] is not None:
            yield Block(page, line, "python", "run", match["hidden"])
        else:
            yield Block(page, line, match["language"], match["mark"] or "", match["text"])


def links(page: Path) -> Iterator[str]:
    """Every target of a link or a picture that is not on another site."""
    for target in _LINK.findall(_prose(page)):
        if "://" not in target and not target.startswith("mailto:"):
            yield target


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(plain.replace(" ", "-"))
    return found


def paths_named(page: Path) -> set[str]:
    """Every file of this repository that a page names in code type."""
    found = re.findall(r"`((?:luban|recipes|benchmarks|tests|docs)/[\w/.*-]*\w)`", _prose(page))
    return {path for path in found if "<" not in path}


def _prose(page: Path) -> str:
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))
