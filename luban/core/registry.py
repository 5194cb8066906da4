"""The file system is the registry: ``luban/tasks/text_generation.py`` is ``text-generation``.

Installed packages join through the entry-point group ``luban.<kind>``. Listing names
and their one-line docs imports nothing, so ``luban --help`` stays fast.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from luban.core.errors import ContractError, RegistryError

T = TypeVar("T")

_ROOT = Path(__file__).parents[1]

#: Kinds whose folder is not ``luban/<kind>``.
_FOLDERS = {
    "sources": "data/sources",
    "cleaners": "data/cleaners",
    "augmentations": "data/augmentations",
    "tokenizers": "data/tokenizers",
    "optimizers": "engine/optimizers",
    "schedules": "engine/schedules",
    "verbs": "cli/verbs",
    "routes": "serving/routes",
    "recognisers": "init/recognisers",
}


def nearest(word: str, known: list[str]) -> str:
    """Return ``did you mean 'x'?`` for the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else ""


def names(kind: str) -> list[str]:
    """Return every known name of a kind, built in or installed, without importing any."""
    return sorted({_name(path) for path in _files(kind)} | set(_plugins(kind)))


def summary(kind: str, name: str) -> str:
    """Return the first docstring line of a component's file, without importing it."""
    for path in _files(kind):
        if _name(path) == name:
            doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            return doc.partition("\n")[0]
    point = _plugins(kind).get(name)
    return f"plugin {point.value}" if point else ""


def module(kind: str, name: str) -> Any:
    """Import and return the module of a built-in component.

    Raises:
        RegistryError: if no file of that kind has the name.
    """
    if name not in names(kind):
        raise _unknown(kind, name)
    folder = _FOLDERS.get(kind, kind).replace("/", ".")
    return importlib.import_module(f"luban.{folder}.{name.replace('-', '_')}")


def load(kind: str, name: str, base: type[T]) -> type[T]:
    """Return the one concrete component of ``kind`` called ``name``.

    Raises:
        RegistryError: if nothing goes by the name; the message holds the nearest one.
        ContractError: if the file or plugin does not define exactly one ``base``, or a plugin
            cannot be imported or takes the name of a built-in component.
    """
    point = _plugins(kind).get(name)
    if point is not None:
        return _checked(kind, _imported(kind, point), base)
    home = module(kind, name)
    found = [
        member
        for _, member in inspect.getmembers(home, inspect.isclass)
        if issubclass(member, base)
        and member.__module__ == home.__name__
        and not inspect.isabstract(member)
    ]
    if len(found) != 1:
        raise ContractError(f"{home.__file__} must define one {base.__name__}.", got=found)
    return _checked(kind, found[0], base)


def name_of(component: type[Any], kind: str) -> str:
    """Return the name recipes use for a component class: its entry point or its file's stem."""
    for name, point in _plugins(kind).items():
        if point.value == f"{component.__module__}:{component.__qualname__}":
            return name
    return component.__module__.rpartition(".")[2].replace("_", "-")


def _files(kind: str) -> list[Path]:
    folder = _ROOT / _FOLDERS.get(kind, kind)
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def _name(path: Path) -> str:
    return path.stem.replace("_", "-")


@cache
def _plugins(kind: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"luban.{kind}")}


def forget_plugins() -> None:
    """Look for installed plugins again (after a package was installed while running)."""
    _plugins.cache_clear()


def unknown_kind(kind: str, known: Sequence[str]) -> RegistryError:
    """Return the error for a kind that does not exist."""
    fix = nearest(kind, list(known))
    return RegistryError(f"there is no kind {kind!r}.", expected=", ".join(known), fix=fix)


def _unknown(kind: str, name: str) -> RegistryError:
    known = names(kind)
    fix = nearest(name, known) or f"add luban/{_FOLDERS.get(kind, kind)}/{name}.py or a plugin."
    return RegistryError(
        f"there is no {kind.rstrip('s')} named {name!r}.", expected=", ".join(known), fix=fix
    )


def _imported(kind: str, point: EntryPoint) -> Any:
    where = f"the plugin {point.name!r} for luban.{kind}"
    if any(_name(path) == point.name for path in _files(kind)):
        raise ContractError(
            f"{point.name!r} is the name of a built-in component.",
            where=where,
            got=point.value,
            fix="rename it in the plugin's entry points, or uninstall the plugin.",
        )
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise ContractError(
            f"cannot be imported ({error}).", where=where, got=point.value
        ) from error


def _checked(kind: str, found: Any, base: type[T]) -> type[T]:
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ContractError(f"a plugin for luban.{kind} must be a {base.__name__}.", got=found)
    return found
