"""Records from all over a stream, in bounded memory."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def spread(
    items: Iterable[T], most: int, weight: Callable[[T], int], heaviest: int
) -> tuple[list[T], int]:
    """Return items of a stream, each with the same chance, in order, and how many there are.

    Each item draws a number; those with the smallest are kept (bottom-k sampling: Cohen and
    Kaplan, 2007). The draw is always the same.

    Args:
        items: Read to the end.
        most: How many are kept at most.
        weight: What an item weighs, in bytes say.
        heaviest: What all that is kept may weigh, but for a single item.
    """
    rng, total, count = random.Random(0), 0, 0
    kept: list[tuple[float, int, T]] = []  # the one to go next is first
    for count, item in enumerate(items, 1):
        drawn = -rng.random()
        if len(kept) == most and drawn < kept[0][0]:
            continue
        heapq.heappush(kept, (drawn, count, item))
        total += weight(item)
        while len(kept) > 1 and (len(kept) > most or total > heaviest):
            most = min(most, len(kept) - 1)
            total -= weight(heapq.heappop(kept)[2])
    return [item for _, _, item in sorted(kept, key=lambda one: one[1])], count
