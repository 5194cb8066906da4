"""A tokenizer and a module small enough to reason about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from luban.core.contracts import Tokenizer
from luban.nn.cache import StateCache


class Bytes(Tokenizer):
    """One token per byte of UTF-8, then the end token."""

    def learn(self, texts: Iterable[str], specials: Sequence[str] = ()) -> Self:
        return self

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(id_ for id_ in ids if id_ < 256).decode(errors="replace")

    def encode_spans(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        raise NotImplementedError

    def special(self, role: str) -> int | None:
        return 256 if role in ("end", "pad") else None

    @property
    def size(self) -> int:
        return 257

    @property
    def end(self) -> int:
        return 256

    @property
    def pad(self) -> int:
        return 256

    def token_bytes(self) -> np.ndarray[Any, Any]:
        return np.array([1] * 256 + [0])

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    def load(self, folder: Path) -> Self:
        raise NotImplementedError


class Script(nn.Module):
    """Says the same tokens after any prompt, then the end token for ever.

    The cache counts the tokens read after the prompt.
    """

    def __init__(self, tokens: Sequence[int], context: int | None = None) -> None:
        super().__init__()
        self.tokens, self.context = list(tokens), context
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.closed = 0

    def new_cache(self, batch_size: int, length: int) -> StateCache:
        return StateCache((torch.full((1, batch_size, 1), -1.0),))

    def decode(
        self, input_ids_BT: Tensor, cache: StateCache, counts: Sequence[int] | None = None
    ) -> Tensor:
        (state,) = cache.states_LBD
        cache.states_LBD = (state + 1,)
        ids = [[*self.tokens, 256][min(int(i), len(self.tokens))] for i in (state + 1).flatten()]
        return nn.functional.one_hot(torch.tensor(ids), 257) * self.scale

    def forward(self, input_ids_BT: Tensor) -> Tensor:
        return nn.functional.one_hot(input_ids_BT, 257) * self.scale
