"""Optional libraries: imported where they are needed, with one clear error where one is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from luban.core.errors import MissingExtra


def require(module: str, extra: str, library: str = "") -> Any:
    """Import and return a module of an optional library.

    Args:
        module: Its dotted name, such as ``"PIL.Image"``.
        extra: The extra of Luban that brings it.
        library: What the library is called where packages are installed from; the first part of
            ``module`` if it is the same.

    Raises:
        MissingExtra: with the command that installs it.
    """
    own = module.partition(".")[0]
    try:
        import_module(own)
        return import_module(module)
    except ImportError as error:
        missing = (error.name or module).partition(".")[0]
        raise MissingExtra(library if library and missing == own else missing, extra) from None
