"""Encoded records: small arrays, what they teach, and the order they are drawn in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np


Example: TypeAlias = "Mapping[str, np.ndarray[Any, Any]]"  #: small arrays, what is cached on disk


class Examples(Protocol):
    """Encoded examples of one split, on disk; indexable, never loaded whole."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Example: ...

    def flat(self, name: str) -> np.ndarray[Any, Any]:
        """Return one field of all examples joined end to end, memory-mapped."""
        ...

    def lengths(self, name: str) -> np.ndarray[Any, Any]:
        """Return the length of one field in every example, int64 (N,)."""
        ...


@dataclass(frozen=True, slots=True)
class TargetSummary:
    """How much one encoded record teaches.

    Attributes:
        count: Positions that carry a loss.
        ends: Whether the end of the answer is supervised (None: the notion does not apply).
        truncated: Whether part of the answer was cut off.
        adjusted: Whether the answer was changed so that a prediction can give it: it is bounded.
        notes: What became of the example, and how often: counted, and shown with the first rows.
    """

    count: int
    ends: bool | None = None
    truncated: bool = False
    adjusted: bool = False
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pool:
    """What may decide the order in which examples are drawn.

    Attributes:
        size: Examples per epoch.
        lengths: Positions of each example, (size,): near ones can share a batch (None: equal).
        groups: What each example counts as, (size,), for balanced sampling (None: all one).
    """

    size: int
    lengths: np.ndarray[Any, Any] | None = None
    groups: np.ndarray[Any, Any] | None = None
