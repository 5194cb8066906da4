"""The house stands: floors, file length, no hidden imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "luban"
LIMIT = 400
FLOORS = (
    ("core",),
    ("nn", "data", "metrics"),
    ("models", "engine", "inference"),
    ("tasks",),
    ("adapters", "objectives", "mechanisms", "exporters", "trackers"),
    ("recipe",),
    ("run",),
    ("stage_runner",),
    ("trained",),
    ("card", "prediction"),
    ("stages", "testing"),
    ("serving", "init"),
    ("cli",),
    ("__main__",),
)
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}
FILES = sorted(ROOT.rglob("*.py"))
CODE = [
    path
    for folder in ("luban", "tests", "benchmarks", "docs")
    for path in (ROOT.parent / folder).rglob("*.py")
]


def place(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "luban":
                yield from ((node.lineno, f"luban.{alias.name}") for alias in node.names)
            elif node.module:
                yield node.lineno, node.module
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def ours(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for line, module in imports(tree):
        if module.startswith("luban.") and module != "luban.__version__":
            yield line, module.split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_keeps_its_floor(path: Path) -> None:
    here = place(path)
    if here == "__init__":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for line, there in ours(tree):
        assert there == here or FLOOR[there] < FLOOR[here], (
            f"{path}:{line}: {here} (floor {FLOOR[here]}) imports {there} (floor {FLOOR[there]})"
        )
    hidden = [
        line
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for line, _ in ours(function)
    ]
    assert not hidden, f"{path}: imports of luban hidden in functions at lines {hidden}"


def test_no_file_is_long() -> None:
    """Tests, benchmarks and the program that writes the reference are held to it too."""
    for path in CODE:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= LIMIT, f"{path} has {lines} lines, more than {LIMIT}"


def test_temporary_folders_come_from_one_place() -> None:
    """``core.files.temporary_folder``: the next command removes what a killed one left behind."""
    importing = {path.relative_to(ROOT).as_posix() for path in FILES if "tempfile" in _names(path)}
    assert {name for name in importing if not name.startswith("testing/")} == {"core/files.py"}


def _names(path: Path) -> set[str]:
    """Return the modules that a file imports, where it does so by name."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_every_folder_has_a_floor() -> None:
    assert {place(path) for path in FILES} - {"__init__"} <= FLOOR.keys()


def test_components_of_a_kind_do_not_import_each_other() -> None:
    """A component is one file; what two of them share belongs to a lower floor."""
    kinds = ("models", "tasks", "data/sources", "data/cleaners", "data/augmentations")
    for kind in (*kinds, "engine/optimizers"):
        folder = ROOT / kind
        names = {f"luban.{kind.replace('/', '.')}.{p.stem}" for p in folder.glob("[!_]*.py")}
        for path in folder.glob("*.py"):
            found = {module for _, module in imports(ast.parse(path.read_text(encoding="utf-8")))}
            assert not found & names, f"{path} imports its siblings {found & names}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports for type checkers alone count too: who needs them cannot be read before the other."""
    names = {_module(path) for path in FILES}
    graph = {_module(path): _imported(path, names) - {_module(path)} for path in FILES}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def _imported(path: Path, names: set[str]) -> set[str]:
    """Return the modules of ``names`` that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & names) or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & names


MODALITY = re.compile(r"image|pixel|vision|audio|speech|sound|recording|waveform", re.I)
NEUTRAL = [
    *(ROOT / "stages").rglob("*.py"),
    *(ROOT / "engine").rglob("*.py"),
    *(ROOT / "serving").glob("*.py"),  # routes are components: each may serve one thing
]


@pytest.mark.parametrize("path", NEUTRAL, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_stage_knows_what_the_numbers_mean(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        assert not MODALITY.search(line), f"{path}:{number} names a modality: {line.strip()}"
