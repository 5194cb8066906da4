"""Which files of code a result rests on: what decides cache keys and the inputs of reports."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[1]
#: Folders and files of Luban that every stored example rests on, beside the component's own file.
ENCODING = ("core/**/*", "data/**/*", "tasks/inputs/*", "tasks/answers/*", "tasks/parts/*")


def digests_of_module(name: str) -> list[str]:
    """Return the SHA-256 digests of the files that define what a component's module computes.

    For a module of Luban this is its own file: what it imports from Luban is covered by
    ``encoding_code`` and by the digests of its bases. For a module of a plug-in it is every module
    of the same top-level package that it imports, directly or through others.

    Args:
        name: The dotted name of an imported module.
    """
    path = _file_of(name)
    if path is None:
        return []
    if name.partition(".")[0] == __name__.partition(".")[0]:
        return [_digest(path)]
    return [_digest(each) for each in _reached(name)]


@cache
def encoding_code() -> dict[str, str]:
    """Return the digest of every file of Luban that reading and encoding data rest on, by path.

    They are read once: what runs is the code that was there when the process began.
    """
    found = (path for pattern in ENCODING for path in _ROOT.glob(pattern))
    files = sorted(path for path in found if path.suffix in {".py", ".yaml", ".json"})
    return {path.relative_to(_ROOT).as_posix(): _digest(path) for path in files}


def _reached(name: str) -> list[Path]:
    """Return the file of a module and of each module of its package that it imports, sorted."""
    package, seen, waiting = name.partition(".")[0], {}, [name]
    while waiting:
        module = waiting.pop()
        path = None if module in seen else _file_of(module)
        if path is not None and path.suffix == ".py":
            seen[module] = path
            waiting += [each for each in _imported(module, path) if _within(each, package)]
    return sorted(set(seen.values()))


def _within(module: str, package: str) -> bool:
    """Return whether a module belongs to a package, or lies beside a module that is not in one."""
    if module.partition(".")[0] == package:
        return True
    here, there = _file_of(package), _file_of(module.partition(".")[0])
    if here is None or there is None or here.name == "__init__.py":
        return False
    return there.parent == here.parent and "site-packages" not in there.parts


def _imported(module: str, path: Path) -> Iterator[str]:
    """Yield the names of modules that a module's source imports, and their packages."""
    parent = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                outer = parent.split(".")[: len(parent.split(".")) - node.level + 1]
                base = ".".join([*outer, *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _file_of(name: str) -> Path | None:
    """Return the file of a module; None: it has none, or is a name within a module."""
    module = sys.modules.get(name)
    if module is None:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return None
        path = spec.origin if spec and spec.has_location else None
    else:
        path = getattr(module, "__file__", None)
    return Path(path) if path else None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
