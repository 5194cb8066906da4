"""What a tokenizer puts around texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpecialTokenFrame:
    """The special tokens that a tokenizer puts around a text, or around two.

    Attributes:
        before: Ids before the text, or before the first of two.
        after: Ids after the text, or after the second of two.
        between: Ids between two texts.
        types: Segments (``token_type_ids``): of each id of ``before``, of the first text, of each
            id of ``between``, of the second text, of each id of ``after``.
    """

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    types: tuple[int, ...] = (0, 0)

    @property
    def size(self) -> int:
        """How many ids it adds."""
        return len(self.before) + len(self.between) + len(self.after)

    def row(self, first: Sequence[int], second: Sequence[int] = ()) -> tuple[list[int], list[int]]:
        """Return the ids of framed texts, and the segment of each."""
        ids = [*self.before, *first, *self.between, *second, *self.after]
        start, middle = len(self.before), len(self.before) + 1 + len(self.between)
        types = [
            *self.types[:start],
            *[self.types[start]] * len(first),
            *self.types[start + 1 : middle],
            *[self.types[middle]] * len(second),
            *self.types[middle + 1 :],
        ]
        return ids, types
