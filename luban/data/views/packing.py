"""Several short sequences in one window: the view that fine-tuning on conversations trains on."""

from __future__ import annotations

from typing import Any

import numpy as np

from luban.core.contracts import Example, Examples, View

#: Lengths are rounded up to this share of a window: what is alike may change places.
STEPS = 64


class Packed(View):
    """Windows of at most ``length`` positions, each holding whole examples.

    Which lengths share a window is decided once, the longest first, each into the fullest window
    that still has room (best-fit decreasing; Johnson 1974). Which of the examples of about one
    length goes where is drawn anew in every epoch. So every epoch has as many windows, and holds
    every example exactly once.

    Args:
        store: Encoded examples; none is longer than ``length``. Their arrays of one dimension are
            joined, scalars are left out, and ``segment_ids`` (from 1) tell the examples apart.
        lengths: Positions of each, (N,).
        length: Positions of a window.
        epoch: The epoch.
        seed: Seed of the draws.
    """

    def __init__(
        self, store: Examples, lengths: np.ndarray[Any, Any], *, length: int, epoch: int, seed: int
    ) -> None:
        self._store = store
        step = max(1, length // STEPS)
        sizes = np.minimum(-(-np.asarray(lengths, np.int64) // step) * step, length)
        shuffled = np.random.default_rng((seed, epoch)).permutation(len(sizes))
        order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
        self._windows = [order[slots] for slots in _best_fit(-np.sort(-sizes), length)]

    def __len__(self) -> int:
        return len(self._windows)

    def example(self, index: int) -> Example:
        """Return a window of whole examples."""
        held = [self._store[int(i)] for i in self._windows[index]]
        names = [name for name, array in held[0].items() if array.ndim]
        counts = [len(example[names[0]]) for example in held]
        return {
            **{name: np.concatenate([example[name] for example in held]) for name in names},
            "segment_ids": np.repeat(np.arange(1, len(held) + 1, dtype=np.uint16), counts),
        }


def positions_of(segment_ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return positions that start at 0 in each segment, int64 (T,)."""
    at = np.arange(len(segment_ids))
    starts = np.flatnonzero(np.diff(segment_ids, prepend=-1))
    return at - np.repeat(starts, np.diff([*starts, len(segment_ids)]))


def _best_fit(sizes: np.ndarray[Any, Any], length: int) -> list[list[int]]:
    """Return which places of a falling list of sizes share a window."""
    windows: list[list[int]] = []
    open_: dict[int, list[int]] = {}  # windows by the room they have left
    for place, size in enumerate(sizes.tolist()):
        room = min((room for room in open_ if room >= size), default=length)
        if room in open_:
            window = open_[room].pop()
            if not open_[room]:
                del open_[room]
        else:
            window = len(windows)
            windows.append([])
        windows[window].append(place)
        if room > size:
            open_.setdefault(room - size, []).append(window)
    return windows
