"""How a law is stated."""

from __future__ import annotations

from collections.abc import Callable

from luban.core.component import Component
from luban.core.errors import ContractError


def law(holds: object, component: Component, text: str) -> None:
    """Raise unless a law holds.

    Raises:
        ContractError: naming the component and the law.
    """
    if not holds:
        raise ContractError(f"{type(component).__name__} breaks a law of its kind: {text}.")


def refuses(act: Callable[[], object]) -> bool:
    """Whether something raises as bad input should."""
    try:
        act()
    except ValueError:
        return True
    return False
