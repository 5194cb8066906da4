"""Token-level generation: sequences in, one new token per sequence and step out; no text here."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from luban.core.errors import ContractError
from luban.inference.sampling import SamplingParams, sample
from luban.nn.cache import Cache, Decoder


@dataclass(frozen=True, slots=True)
class Token:
    """One token of one sequence.

    Attributes:
        row: Which sequence it belongs to.
        id: The token.
        logprob: Natural logarithm of its probability under the model itself, before temperature
            and filters; None for the first token of a sequence that is only scored.
        top: The likeliest tokens with their logprobs, best first.
    """

    row: int
    id: int
    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class GeneratedSequence:
    """A whole answer.

    Attributes:
        tokens: Without the prompt; the end token is the last one, if it ended by itself.
        logprob: Natural logarithm of its probability under the model itself.
    """

    tokens: tuple[int, ...]
    logprob: float


class Decoding:
    """Some sequences being continued together.

    Rows leave with ``drop``; the others do not notice. ``step`` is safe to call while rows live.

    Args:
        module: A module in evaluation mode that follows ``luban.nn.cache.Decoder``.
        prompts: Tokens to continue, at least one per row. Equal prompts are read once.
        params: One per row.
        length: Longest sequence to make room for, prompt included. Where the module cannot hold
            that much, it reads the last half of what it can hold anew whenever it is full.
        memory: What the module has read apart from the prompts, a row each, if it is a
            ``luban.nn.cache.Answerer``; then ``length`` is what the memory was read for.

    Raises:
        ContractError: if the module cannot decode.
    """

    def __init__(
        self,
        module: nn.Module,
        prompts: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        length: int,
        memory: Cache | None = None,
    ) -> None:
        self._module = _able(module, memory)
        self._device = next(module.parameters()).device
        self._params = list(params)
        self._random = [random.Random(p.seed) for p in params]
        self._length = min(length, self._module.context or length)
        self._starts = [0] * len(prompts)
        self._cache: Any = None
        self._memory = memory
        self.sequences = [list(prompt) for prompt in prompts]
        self.live = list(range(len(prompts)))
        self._cached = self.live

    @torch.inference_mode()
    def step(self) -> list[Token]:
        """Return the next token of every live row."""
        full = [row for row in self.live if len(self._window(row)) > self._length]
        for row in full:
            self._starts[row] = len(self.sequences[row]) - max(1, self._length // 2)
        logits_BV = self._read() if full or self._cache is None else self._continue()
        params = [self._params[row] for row in self.live]
        ids_B = sample(
            logits_BV,
            params,
            [self._random[row] for row in self.live],
            [self.sequences[row] for row in self.live],
        )
        tops = [p.logprobs or 0 for p in params]
        tokens = _describe(logits_BV, ids_B, self.live, tops)
        for token in tokens:
            self.sequences[token.row].append(token.id)
        return tokens

    def drop(self, row: int) -> None:
        """Stop continuing a row."""
        self.live = [other for other in self.live if other != row]

    def _read(self) -> Tensor:
        """Read what each live row sees, equal ones once."""
        prompts = [tuple(self._window(row)) for row in self.live]
        if self._memory is None:
            distinct = list(dict.fromkeys(prompts))
            rows = [distinct.index(prompt) for prompt in prompts]
            cache = self._module.new_cache(len(distinct), self._length)
        else:
            distinct, rows = prompts, list(range(len(prompts)))
            cache = self._memory.select(self.live)
        logits_BV = begin(self._module, distinct, cache)
        self._cache, self._cached = cache.select(rows), self.live
        return logits_BV[rows]

    def _continue(self) -> Tensor:
        """Read the token that each live row got last."""
        if self._cached != self.live:
            self._cache = self._cache.select([self._cached.index(row) for row in self.live])
            self._cached = self.live
        ids = [[self.sequences[row][-1]] for row in self.live]
        logits_BV: Tensor = self._module.decode(self._tensor(ids), self._cache)
        return logits_BV

    def _window(self, row: int) -> list[int]:
        return self.sequences[row][self._starts[row] :]

    def _tensor(self, ids: list[list[int]]) -> Tensor:
        return torch.tensor(ids, device=self._device)


def generate_sequences(
    module: nn.Module,
    prompts: Sequence[Sequence[int]],
    params: Sequence[SamplingParams],
    end: int,
    memory: Cache | None = None,
) -> list[GeneratedSequence]:
    """Return the answer to each prompt: drawn, or (temperature 0) always the likeliest token.

    Args:
        module: A module in evaluation mode.
        prompts: Tokens that each answer continues, at least one.
        params: How to draw, one per prompt; ``max_tokens`` counts the end token.
        end: The token that ends an answer.
        memory: As in ``Decoding``.
    """
    rooms = [len(prompt) + p.max_tokens for prompt, p in zip(prompts, params, strict=True)]
    decoding = Decoding(module, prompts, params, max(rooms), memory)
    logprobs = [0.0] * len(prompts)
    while decoding.live:
        for token in decoding.step():
            logprobs[token.row] += token.logprob or 0.0
            if token.id == end or len(decoding.sequences[token.row]) == rooms[token.row]:
                decoding.drop(token.row)
    return [
        GeneratedSequence(tuple(sequence[len(prompt) :]), logprob)
        for sequence, prompt, logprob in zip(decoding.sequences, prompts, logprobs, strict=True)
    ]


def begin(module: Any, prompts: Sequence[Sequence[int]], cache: Any) -> Tensor:
    """Read prompts of any lengths into a fresh cache; return the logits that follow, (B, V)."""
    counts = [len(prompt) for prompt in prompts]
    ids = [[*prompt, *[0] * (max(counts) - len(prompt))] for prompt in prompts]
    device = next(module.parameters()).device
    logits_BV: Tensor = module.decode(torch.tensor(ids, device=device), cache, counts)
    return logits_BV


@torch.inference_mode()
def score(module: nn.Module, ids: Sequence[int], top: int = 0) -> list[Token]:
    """Return every token of a sequence with its logprob given those before it.

    Args:
        module: A module in evaluation mode that returns logits after every position.
        ids: At least one token; the first has nothing before it and so no logprob.
        top: How many alternatives to give with each token.
    """
    first = Token(0, ids[0], None)
    if len(ids) == 1:
        return [first]
    ids_T = torch.tensor(ids, device=next(module.parameters()).device)
    logits_TV = module(ids_T[None, :-1])[0]
    rest = len(ids) - 1
    return [first, *_describe(logits_TV, ids_T[1:], [0] * rest, [top] * rest)]


def decoder(module: nn.Module) -> Decoder[Any]:
    """Return the module as something that can decode.

    Raises:
        ContractError: if it cannot.
    """
    if not isinstance(module, Decoder):
        raise ContractError(
            f"{type(module).__name__} cannot continue a sequence.",
            expected="new_cache and decode, as in luban.nn.cache.Decoder",
        )
    return module


def _able(module: nn.Module, memory: Cache | None) -> Any:
    """Return the module, which continues prompts alone or beside what it has read."""
    return decoder(module) if memory is None else module


def _describe(
    logits_BV: Tensor, ids_B: Tensor, rows: Sequence[int], tops: Sequence[int]
) -> list[Token]:
    logprobs_BV = logits_BV.float().log_softmax(-1)
    chosen = logprobs_BV.gather(-1, ids_B[:, None])[:, 0].tolist()
    best = logprobs_BV.topk(min(max(tops), logprobs_BV.shape[-1]), dim=-1)
    values, indices = best.values.tolist(), best.indices.tolist()
    return [
        Token(row, id_, logprob, tuple(zip(index[:top], value[:top], strict=True)))
        for row, id_, logprob, value, index, top in zip(
            rows, ids_B.tolist(), chosen, values, indices, tops, strict=True
        )
    ]
