"""The page of the source tree: every folder and file of ``luban/`` with its first sentence."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "luban"


def source_tree() -> Iterator[str]:
    """Yield the parts of the page: one table for each folder, in the order of their paths."""
    yield "# The source tree"
    yield (
        "Where to find what: a component of a recipe is the file of its name "
        "(`text-classification` is `luban/tasks/text_classification.py`); what several files of a "
        "folder share begins with an underscore, or has a folder of its own. A module imports only "
        "from lower floors ([ADR 1](../adr/0001-floors.md)); `tests/test_architecture.py` holds "
        "the list."
    )
    for folder in [ROOT, *sorted(path for path in ROOT.rglob("*") if _is_package(path))]:
        name = folder.relative_to(ROOT.parent).as_posix()
        lines = [f"## `{name}/`", "", _sentence(folder / "__init__.py"), ""]
        files = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
        if files:
            lines += ["| file | what is in it |", "|---|---|"]
            lines += [f"| [{p.name}](../../{name}/{p.name}) | {_sentence(p)} |" for p in files]
        yield "\n".join(lines).rstrip()


def _is_package(path: Path) -> bool:
    return path.is_dir() and (path / "__init__.py").is_file()


def _sentence(path: Path) -> str:
    """Return the first line of a file's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].replace("|", r"\|").replace("``", "`")
