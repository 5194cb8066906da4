"""Windows for masked language models: tokens hidden anew in every epoch."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from luban.core.contracts import Example, Examples, SpecialTokenFrame, View

Array = np.ndarray[Any, Any]
#: The label of a position that is not asked for.
SEEN = -100


@dataclass(frozen=True, slots=True)
class Masking:
    """Which tokens are hidden, and behind what (Devlin et al. 2018, 1810.04805, 3.1).

    Attributes:
        share: Of the tokens, how many are to be guessed; at least one of every row.
        masked: Of these, how many the mask token stands for.
        random: Of these, how many a random token stands for; the others stay as they are.
        mask: The mask token.
        frame: What stands around a row.
        separator: The token between texts.
        choices: What random tokens are drawn from.
    """

    share: float
    masked: float
    random: float
    mask: int
    frame: SpecialTokenFrame
    separator: int
    choices: Array

    def row(self, tokens: Array, key: tuple[int, ...]) -> Example:
        """Return a row with hidden tokens, and as labels what they are (elsewhere ``SEEN``).

        Args:
            tokens: Without what stands around them; no special token among them is hidden.
            key: Seeds the draw.
        """
        draw = np.random.default_rng(key)
        ids = np.array(self.frame.row(tokens.tolist())[0], np.int64)
        labels = np.full(len(ids), SEEN, np.int64)
        places = len(self.frame.before) + np.flatnonzero(np.asarray(tokens) != self.separator)
        count = min(len(places), max(1, round(self.share * len(places))))
        hidden = draw.choice(places, count, replace=False) if count else places[:0]
        labels[hidden] = ids[hidden]
        kinds = draw.random(count)
        ids[hidden[kinds < self.masked]] = self.mask
        swapped = hidden[(kinds >= self.masked) & (kinds < self.masked + self.random)]
        ids[swapped] = draw.choice(self.choices, len(swapped))
        return {"input_ids": ids, "labels": labels}

    def fixed(self, tokens: Array) -> Example:
        """Return a row whose hidden tokens depend on nothing but its tokens."""
        return self.row(tokens, (zlib.crc32(np.ascontiguousarray(tokens, np.uint32).tobytes()),))


class MaskedRows(View):
    """Rows of at most ``length`` tokens with hidden ones: records, or windows of the joined text.

    What is hidden is a pure function of (seed, epoch, index); with epoch ``None`` of the tokens
    alone. Windows are shifted by another offset in each epoch, and as many in each; with epoch
    ``None`` they hold every token exactly once.

    Args:
        store: Encoded examples.
        masking: What is hidden.
        length: Tokens of a row, without what stands around them.
        joined: Whether examples are joined end to end.
        epoch: The epoch, or None for evaluation.
        seed: Seed of all draws.
    """

    def __init__(  # noqa: PLR0913
        self,
        store: Examples,
        masking: Masking,
        *,
        length: int,
        joined: bool,
        epoch: int | None,
        seed: int,
    ) -> None:
        self._store, self._masking, self._length = store, masking, length
        self._joined, self._key = joined, None if epoch is None else (seed, epoch)
        self._shift, self._count = 0, len(store)
        if joined:
            size = len(store.flat("input_ids"))
            self._count = -(-size // length)
            if epoch is not None and size >= 2 * length:
                self._count = size // length - 1
                room = size - self._count * length
                self._shift = int(np.random.default_rng((seed, epoch)).integers(room + 1))

    def __len__(self) -> int:
        return self._count

    def example(self, index: int) -> Example:
        """Return a row with hidden tokens."""
        if self._joined:
            start = self._shift + index * self._length
            tokens = self._store.flat("input_ids")[start : start + self._length]
        else:
            tokens = self._store[index]["input_ids"][: self._length]
        if self._key is None:
            return self._masking.fixed(tokens)
        return self._masking.row(tokens, (*self._key, index))
