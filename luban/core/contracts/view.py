"""What a model sees of stored examples: a sequence that knows lengths and groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from luban.core.contracts.examples import Example, Examples

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]


class View(Sequence[Any], ABC):
    """The examples of one epoch, or of an evaluation, made when they are asked for.

    A view of your own says how many there are (``__len__``) and what one is (``example``);
    negative places and slices come with it.
    """

    _lengths: Callable[[], Array | None] | None = None
    _groups: Callable[[], Array | None] | None = None

    @abstractmethod
    def example(self, index: int) -> Example:
        """Return one example, counted from 0."""

    def __getitem__(self, index: Any) -> Any:
        """Return the example at a place, or a list of those in a slice.

        Raises:
            IndexError: if there is none.
        """
        if isinstance(index, slice):
            return [self.example(i) for i in range(*index.indices(len(self)))]
        return self.example(range(len(self))[index])

    def knowing(
        self,
        *,
        lengths: Callable[[], Array | None] | None = None,
        groups: Callable[[], Array | None] | None = None,
    ) -> Self:
        """Return this view with what tells of its examples; computed only if it is asked for.

        Args:
            lengths: Returns the positions of each example, (N,).
            groups: Returns what each example counts as in balanced sampling, int (N,).
        """
        self._lengths, self._groups = lengths or self._lengths, groups or self._groups
        return self

    @property
    def lengths(self) -> Array | None:
        """The positions of each example, (N,), so that near ones share a batch; None: all alike."""
        return self._lengths() if self._lengths else None

    @property
    def groups(self) -> Array | None:
        """What each example counts as in balanced sampling, int (N,). None: all as one."""
        return self._groups() if self._groups else None


class StoredView(View):
    """The stored examples as they are."""

    def __init__(self, store: Examples | Sequence[Example]) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store)

    def example(self, index: int) -> Example:
        """Return a stored example."""
        return self._store[index]
