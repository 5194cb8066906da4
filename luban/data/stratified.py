"""Splits in which every label has its share of the records that are held out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping


class Strata:
    """Of each label, the records with the smallest hashes are held out, as many as its share.

    A record that is added moves a few others of its own label at most, one for each split.
    Records of equal hash stay together.

    Args:
        records: The label of each record, and its hash as a number from 0 to below 1.
        shares: The splits that are held out, with their shares; the first takes its records first.
        chance: Gives a number from 0 to below 1 for a text, always the same one. A share of few
            records is no whole number: a label has one more or one less by chance, so that all
            labels together come to the share.
    """

    def __init__(
        self,
        records: Iterable[tuple[str, float]],
        shares: Mapping[str, float],
        chance: Callable[[str], float],
    ) -> None:
        found: dict[str, set[float]] = {}
        for label, place in records:
            found.setdefault(label, set()).add(place)
        total = sum(map(len, found.values()))
        counts = {
            label: self._counts(label, len(places), shares, chance)
            for label, places in found.items()
        }
        for split, share in shares.items():  # none is empty whose share is half a record
            if 2 * share * total >= 1 and not any(count[split] for count in counts.values()):
                spare = {a: len(found[a]) - sum(count.values()) for a, count in counts.items()}
                largest = max(spare, key=lambda label: (spare[label], label))
                counts[largest][split] += spare[largest] > 1
        self._bounds = {
            label: self._limits(sorted(places), counts[label]) for label, places in found.items()
        }

    @staticmethod
    def _counts(
        label: str, size: int, shares: Mapping[str, float], chance: Callable[[str], float]
    ) -> dict[str, int]:
        """Return how many records of a label each split holds out; one at least is left."""
        counts: dict[str, int] = {}
        for split, share in shares.items():
            wanted = math.floor(size * share + chance(f"{split} of {label}"))
            counts[split] = max(0, min(wanted, size - 1 - sum(counts.values())))
        return counts

    @staticmethod
    def _limits(places: list[float], counts: Mapping[str, int]) -> list[tuple[float, str]]:
        limits, used = [], 0
        for split, count in counts.items():
            used += count
            if count:
                limits.append((places[used - 1], split))
        return limits

    @property
    def labels(self) -> set[str]:
        """All labels there are."""
        return set(self._bounds)

    def split_of(self, label: str, place: float) -> str:
        """Return the split of a record, given its label and its hash."""
        for largest, split in self._bounds[label]:
            if place <= largest:
                return split
        return "train"
