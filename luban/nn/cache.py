"""What a model remembers of the positions it has seen, and the protocol decoding stands on.

Shapes: L layers, B rows, T new positions, S slots, H key/value heads, D head width, V vocabulary.

Rows may have different lengths. A batch of unequal prompts is padded on the right: the padding
is written into slots past the end of its row, where nothing looks before the row's own next
tokens overwrite it. So positions are per row and no padding mask is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from luban.core.errors import CapacityError


class Cache(Protocol):
    """What a module keeps of each row between two calls of ``decode``."""

    def select(self, rows: Sequence[int]) -> Self:
        """Return the cache of these rows in this order; a row may be left out or repeated."""
        ...


CacheT = TypeVar("CacheT")
HeldT = TypeVar("HeldT", bound=Cache)

#: Slots a cache of keys and values grows by.
_GROWTH = 32


@runtime_checkable
class Decoder(Protocol[CacheT]):
    """A module that continues sequences token by token."""

    @property
    def context(self) -> int | None:
        """Longest sequence the module can hold (None: no bound)."""
        ...

    def new_cache(self, batch_size: int, length: int) -> CacheT:
        """Return an empty cache for rows of up to ``length`` positions."""
        ...

    def decode(
        self, input_ids_BT: Tensor, cache: CacheT, counts: Sequence[int] | None = None
    ) -> Tensor:
        """Read new tokens into the cache and return the logits that follow them, shape (B, V).

        Args:
            input_ids_BT: New tokens, padded on the right.
            cache: Changed in place.
            counts: How many tokens of each row are real, at least one (None: all of them).
        """
        ...

    def __call__(self, input_ids_BT: Tensor) -> Tensor:
        """Return the logits after every position, shape (B, T, V)."""
        ...


@runtime_checkable
class Answerer(Protocol[CacheT]):
    """A module that reads an input whole and then writes another sequence, token by token."""

    @property
    def context(self) -> int | None:
        """Longest sequence the module can write, its first token included (None: no bound)."""
        ...

    def read(self, inputs: Mapping[str, Tensor], length: int) -> CacheT:
        """Read the input; return a cache for answers of up to ``length`` positions.

        Args:
            inputs: What ``forward`` takes, less the second sequence.
            length: Most positions of an answer, its first token included.
        """
        ...

    def decode(
        self, input_ids_BT: Tensor, cache: CacheT, counts: Sequence[int] | None = None
    ) -> Tensor:
        """Go on with the answers, as ``Decoder.decode`` does."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """Where the new positions of one ``decode`` call go, and what they may see.

    Attributes:
        positions: Shape (T,) where all rows are equally long, else (B, T).
        slots: How many slots are read.
        mask: (B or 1, 1, T, S), True where a new position may look; None: causal or everything.
    """

    positions: Tensor
    slots: int
    mask: Tensor | None


class KVCache:
    """Keys and values of every layer, with a length per row; it grows as it fills."""

    def __init__(
        self, keys_LBSHD: Tensor, values_LBSHD: Tensor, lengths: list[int], room: int
    ) -> None:
        self.keys_LBSHD, self.values_LBSHD = keys_LBSHD, values_LBSHD
        self.lengths, self.room = lengths, room

    @classmethod
    def empty(cls, shape: tuple[int, int, int, int, int], like: Tensor) -> Self:
        """Return a cache of shape (L, B, S, H, D) with the type and device of ``like``."""
        layers, rows, room, heads, width = shape
        keys = torch.zeros(
            (layers, rows, min(room, _GROWTH), heads, width), dtype=like.dtype, device=like.device
        )
        return cls(keys, torch.zeros_like(keys), [0] * rows, room)

    def select(self, rows: Sequence[int]) -> Self:
        """Return the cache of these rows in this order; a row may be left out or repeated."""
        index = torch.tensor(rows, device=self.keys_LBSHD.device)
        keys, values = (t.index_select(1, index) for t in (self.keys_LBSHD, self.values_LBSHD))
        return type(self)(keys, values, [self.lengths[row] for row in rows], self.room)

    def begin(self, new: int) -> Step:
        """Plan the next ``new`` positions of every row.

        Raises:
            CapacityError: if a row has no room left for them.
        """
        device = self.keys_LBSHD.device
        end = max(self.lengths) + new
        if end > self.room:
            raise CapacityError(
                "the cache is full.", expected=f"at most {self.room} positions", got=end
            )
        self._grow(end)
        if len(set(self.lengths)) == 1:
            start = self.lengths[0]
            positions = torch.arange(start, end, device=device)
            if start == 0 or new == 1:
                return Step(positions, end, None)
            seen = torch.arange(end, device=device) <= positions[:, None]
            return Step(positions, end, seen[None, None])
        starts = torch.tensor(self.lengths, device=device)
        positions = starts[:, None] + torch.arange(new, device=device)
        seen = torch.arange(end, device=device) <= positions[:, :, None]
        return Step(positions, end, seen[:, None])

    def write(
        self, layer: int, step: Step, k_BTHD: Tensor, v_BTHD: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values; return all it may read, (B, S, H, D) each."""
        keys, values = self.keys_LBSHD[layer], self.values_LBSHD[layer]
        at = step.positions
        if at.dim() == 1:
            start = step.slots - k_BTHD.shape[1]
            keys[:, start : step.slots] = k_BTHD
            values[:, start : step.slots] = v_BTHD
        else:
            rows = torch.arange(at.shape[0], device=at.device)[:, None]
            keys[rows, at] = k_BTHD.to(keys.dtype)
            values[rows, at] = v_BTHD.to(values.dtype)
        return keys[:, : step.slots], values[:, : step.slots]

    def advance(self, counts: Sequence[int]) -> None:
        """Take the positions just written as read."""
        self.lengths = [length + count for length, count in zip(self.lengths, counts, strict=True)]

    def _grow(self, slots: int) -> None:
        """Make room for so many slots, and some more."""
        more = min(self.room, slots + _GROWTH) - self.keys_LBSHD.shape[2]
        if slots > self.keys_LBSHD.shape[2]:
            wider = (0, 0, 0, 0, 0, more)
            self.keys_LBSHD = F.pad(self.keys_LBSHD, wider)
            self.values_LBSHD = F.pad(self.values_LBSHD, wider)


class StateCache:
    """The hidden state of a recurrent network: tensors (L, B, D)."""

    def __init__(self, states_LBD: tuple[Tensor, ...]) -> None:
        self.states_LBD = states_LBD

    def select(self, rows: Sequence[int]) -> Self:
        """Return the cache of these rows in this order; a row may be left out or repeated."""
        index = torch.tensor(rows, device=self.states_LBD[0].device)
        return type(self)(tuple(state.index_select(1, index) for state in self.states_LBD))


class Conditioned(Generic[HeldT]):
    """A cache of answers beside what they are conditioned on, which is read and never changed.

    Several rows may answer one input: as long as they only change places among themselves, the
    memory stays where it is.

    Args:
        answers: What the answers need remembered.
        memory: Tensors whose first axis is the row.
        sources: Which input each row answers.
    """

    def __init__(
        self, answers: HeldT, memory: tuple[Tensor, ...], sources: Sequence[int] | None = None
    ) -> None:
        self.answers, self.memory = answers, memory
        self._sources = list(range(memory[0].shape[0]) if sources is None else sources)

    def select(self, rows: Sequence[int]) -> Self:
        """Return the cache of these rows in this order; a row may be left out or repeated."""
        sources = [self._sources[row] for row in rows]
        memory = self.memory
        if sources != self._sources:
            index = torch.tensor(rows, device=memory[0].device)
            memory = tuple(tensor.index_select(0, index) for tensor in memory)
        return type(self)(self.answers.select(rows), memory, sources)
