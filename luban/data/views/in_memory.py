"""Encoded examples in memory, read as a store on disk is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from luban.core.contracts import Example


class InMemoryExamples:
    """Examples in memory, as ``Examples`` wants them.

    Args:
        examples: These examples.
        rows: Where each came from, if that is known.
    """

    def __init__(self, examples: Sequence[Example], rows: Sequence[str] = ()) -> None:
        self._examples, self._rows = examples, rows

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int, /) -> Example:
        return self._examples[index]

    def where(self, index: int) -> str:
        """Return where an example came from."""
        return self._rows[index] if self._rows else f"example {index}"

    def flat(self, name: str) -> np.ndarray[Any, Any]:
        """Return one field of all examples joined end to end."""
        return np.concatenate([np.atleast_1d(example[name]) for example in self._examples])

    def lengths(self, name: str) -> np.ndarray[Any, Any]:
        """Return the size of one field in every example, int64 (N,)."""
        return np.array([example[name].size for example in self._examples], np.int64)
