"""Records as sources give them, those that cannot be used, and what cleaners did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from luban.core.errors import DataError, UnfitError

Record: TypeAlias = Mapping[str, Any]  #: one row of raw data


class SetApart(Mapping[str, Any]):
    """What a source gives in place of a record that cannot be used: where it lies, and why.

    It has no field but ``_where``. Asking for another raises its error: it never passes for a
    record, not even where nobody thinks of it.

    Args:
        error: What is wrong with the record.
        where: Where it lies (``file:row``); empty: the error says it.
    """

    __slots__ = ("error", "where")

    def __init__(self, error: DataError, where: object = "") -> None:
        self.error = UnfitError.of(error, where)
        self.where = str(where or error.where)

    def __getitem__(self, name: str) -> Any:
        if name == "_where":
            return self.where
        raise self.error

    def __iter__(self) -> Iterator[str]:
        raise self.error

    def __len__(self) -> int:
        raise self.error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SetApart) and str(self.error) == str(other.error)

    def __hash__(self) -> int:
        return hash(str(self.error))

    def __repr__(self) -> str:
        return f"SetApart({self.error.line()!r})"


@dataclass(slots=True)
class Tally:
    """What a cleaner did: how often, and a few examples of each act."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, act: str, example: str, times: int = 1) -> None:
        """Count an act and keep the first five examples of it."""
        self.counts[act] += times
        shown = self.examples.setdefault(act, [])
        if len(shown) < 5:
            shown.append(example[:120])
