"""Windows: everything exactly once in evaluation, a pure shift in each epoch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luban.core.contracts import Example
from luban.data.views.windows import Windows


class Stream:
    """Examples that are one field, 0, 1, 2, …"""

    def __init__(self, size: int) -> None:
        self._tokens = np.arange(size, dtype=np.uint32)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int, /) -> Example:
        return {"ids": self._tokens}

    def flat(self, name: str) -> np.ndarray[Any, Any]:
        assert name == "ids"
        return self._tokens

    def lengths(self, name: str) -> np.ndarray[Any, Any]:
        return np.array([len(self._tokens)])


def windows(size: int, length: int, epoch: int | None, seed: int = 0) -> Windows:
    return Windows(Stream(size), "ids", length=length, epoch=epoch, seed=seed)


@given(size=st.integers(0, 300), length=st.integers(1, 40))
def test_evaluation_predicts_every_token_exactly_once(size: int, length: int) -> None:
    predicted = [token for w in windows(size, length, None) for token in w["ids"][1:]]
    assert predicted == list(range(1, size))
    for window in windows(size, length, None):
        tokens = window["ids"].tolist()
        assert tokens == list(range(tokens[0], tokens[0] + len(tokens)))
        assert 2 <= len(tokens) <= length + 1


@given(
    size=st.integers(0, 300),
    length=st.integers(1, 40),
    epoch=st.integers(0, 1000),
    seed=st.integers(0, 2**32),
)
def test_epochs_shift_and_never_change_in_number(
    size: int, length: int, epoch: int, seed: int
) -> None:
    found = windows(size, length, epoch, seed)
    assert len(found) == len(windows(size, length, epoch + 1, seed + 1))
    again = [w["ids"].tolist() for w in windows(size, length, epoch, seed)]
    assert [w["ids"].tolist() for w in found] == again
    starts = [w["ids"][0] for w in found]
    assert all(b - a == length for a, b in pairwise(starts))
    if size > 2 * length:
        assert all(len(w["ids"]) == length + 1 for w in found)
        assert starts[0] < 2 * length
        assert size - (starts[-1] + length + 1) < 2 * length, "little is left out"


def test_every_token_is_predicted_over_the_epochs() -> None:
    seen: set[int] = set()
    for epoch in range(60):
        for window in windows(100, 7, epoch):
            seen.update(window["ids"][1:].tolist())
    assert seen == set(range(1, 100))


def test_indexing() -> None:
    found = windows(100, 10, None)
    assert found[-1]["ids"].tolist() == found[9]["ids"].tolist()
    assert [w["ids"][0] for w in found[2:4]] == [20, 30]
    with pytest.raises(IndexError):
        found[10]
