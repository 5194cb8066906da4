"""A token stream as windows: the view that language models train and are evaluated on."""

from __future__ import annotations

import numpy as np

from luban.core.contracts import Example, Examples, View


class Windows(View):
    """Windows of ``length`` + 1 tokens over one field of all examples, joined end to end.

    In an epoch, all windows are full and shifted by one offset, a pure function of (seed,
    epoch), drawn from all that the stream has room for; their number is the same in every
    epoch. With epoch ``None`` there is no shift and the last window may be shorter: each token
    but the very first is predicted exactly once. A stream of no more than two windows is never
    shifted.

    Args:
        store: Encoded examples.
        field: The field to read; also the one field of each window.
        length: Tokens a window predicts.
        epoch: The epoch, or None for evaluation.
        seed: Seed of the shifts.
    """

    def __init__(
        self, store: Examples, field: str, *, length: int, epoch: int | None, seed: int
    ) -> None:
        self._tokens, self._field, self._length = store.flat(field), field, length
        size = len(self._tokens)
        self._shift = 0
        if epoch is None or size <= 2 * length:
            self._count = max(0, -(-(size - 1) // length))
        else:
            self._count = (size - length) // length
            room = size - self._count * length  # length to 2 * length - 1 offsets
            self._shift = int(np.random.default_rng((seed, epoch)).integers(room))

    def __len__(self) -> int:
        return self._count

    def example(self, index: int) -> Example:
        """Return a window."""
        start = self._shift + index * self._length
        return {self._field: self._tokens[start : start + self._length + 1]}
