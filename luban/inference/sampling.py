"""From logits to the next token: one pure function, row by row independent.

Shapes: B rows, V vocabulary. The order of the filters is the one of Hugging Face: repetition
penalty, repeated n-grams, temperature, top-k, top-p, min-p.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from luban.core.errors import RequestError
from luban.inference.stops import MOST_STOP_CHARACTERS, MOST_STOPS


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How one sequence is continued.

    Attributes:
        max_tokens: Most tokens to generate.
        temperature: Divides the logits; 0 always takes the likeliest token.
        top_k: Keep the k likeliest tokens (0: all).
        top_p: Keep the likeliest tokens that together reach this probability (Holtzman et al.
            2019, 1904.09751).
        min_p: Keep tokens at least this share as likely as the likeliest (Nguyen et al. 2024,
            2407.01082).
        repetition_penalty: Divides positive and multiplies negative logits of tokens seen before
            (Keskar et al. 2019, 1909.05858).
        seed: Same seed, prompt and weights: same tokens, whatever else is in the batch.
        no_repeat_ngram_size: No sequence of so many tokens occurs twice (0: it may).
        stop: Texts that end the generation; they are not part of the answer.
        logprobs: How many alternatives to report with each token (None: none).

    Raises:
        RequestError: for a value out of range.
    """

    max_tokens: int = 128
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None

    def __post_init__(self) -> None:
        for name, (expected, holds) in _RANGES.items():
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and holds(value)):
                raise RequestError(f"{name} is out of range.", expected=expected, got=value)
        for name in ("max_tokens", "top_k", "no_repeat_ngram_size", "seed", "logprobs"):
            value = getattr(self, name)
            optional = name in ("seed", "logprobs") and value is None
            if not optional and (not isinstance(value, int) or isinstance(value, bool)):
                raise RequestError(f"{name} must be a whole number.", got=value)
        if self.logprobs is not None and not 0 <= self.logprobs <= 20:
            raise RequestError("logprobs is out of range.", expected="0 to 20", got=self.logprobs)
        if isinstance(self.stop, str) or not all(isinstance(s, str) and s for s in self.stop):
            raise RequestError("stop must be texts that are not empty.", got=self.stop)
        if len(self.stop) > MOST_STOPS or any(len(s) > MOST_STOP_CHARACTERS for s in self.stop):
            raise RequestError(
                "there are too many stop texts, or one is too long.",
                expected=f"at most {MOST_STOPS} of at most {MOST_STOP_CHARACTERS:,} characters",
                got=f"{len(self.stop)} of at most {max(map(len, self.stop)):,}",
            )


#: Below ``_LOW``, logits may overflow when divided by a temperature; ``_TINY`` is the smallest
#: float32 that keeps its precision.
_LOW, _TINY = 1e-6, torch.finfo(torch.float32).tiny

_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "max_tokens": ("at least 1", lambda x: x >= 1),
    "no_repeat_ngram_size": ("0 (off) or more", lambda x: x >= 0),
    "temperature": ("at least 0", lambda x: x >= 0),
    "top_k": ("0 (off) or more", lambda x: x >= 0),
    "top_p": ("more than 0, at most 1", lambda x: 0 < x <= 1),
    "min_p": ("0 to 1", lambda x: 0 <= x <= 1),
    "repetition_penalty": ("0.01 to 100 (1: off)", lambda x: 0.01 <= x <= 100),
}


def sample(
    logits_BV: Tensor,
    params: Sequence[SamplingParams],
    generators: Sequence[random.Random],
    history: Sequence[Sequence[int]],
) -> Tensor:
    """Return one token per row, shape (B,).

    Each row takes one uniform number from its own generator and inverts the distribution
    function with it, so no row depends on another.

    Args:
        logits_BV: What the model says.
        params: One per row.
        generators: One per row; rows of temperature 0 leave theirs untouched.
        history: All tokens of each row so far, prompt included.
    """
    logits_BV = filtered(logits_BV, params, history)
    best_B = logits_BV.argmax(-1)
    greedy = [p.temperature == 0 for p in params]
    if all(greedy):
        return best_B
    uniform = [0.0 if g else r.random() for g, r in zip(greedy, generators, strict=True)]
    cdf_BV = logits_BV.double().softmax(-1).cumsum(-1)
    point_B1 = cdf_BV[:, -1:] * cdf_BV.new_tensor(uniform)[:, None]
    drawn_B = torch.searchsorted(cdf_BV, point_B1, right=True)[:, 0]
    return torch.where(torch.tensor(greedy, device=best_B.device), best_B, drawn_B)


def filtered(
    logits_BV: Tensor, params: Sequence[SamplingParams], history: Sequence[Sequence[int]]
) -> Tensor:
    """Return the logits to draw from: penalised, tempered, and -inf where a filter says no."""
    logits_BV = logits_BV.float().clone()
    for row, (p, seen) in enumerate(zip(params, history, strict=True)):
        if p.repetition_penalty != 1 and seen:
            index = torch.tensor(sorted(set(seen)), device=logits_BV.device)
            old = logits_BV[row, index]
            logits_BV[row, index] = torch.where(
                old < 0, old * p.repetition_penalty, old / p.repetition_penalty
            )
    for row, (p, seen) in enumerate(zip(params, history, strict=True)):
        logits_BV[row, repeating(seen, p.no_repeat_ngram_size)] = -math.inf
    logits_BV = _tempered(logits_BV, [p.temperature or 1.0 for p in params])
    if any(p.top_k for p in params):
        logits_BV = _top_k(logits_BV, [p.top_k for p in params])
    if any(p.top_p < 1 for p in params):
        logits_BV = _top_p(logits_BV, [p.top_p for p in params])
    if any(p.min_p > 0 for p in params):
        share = _column(logits_BV, [p.min_p for p in params])
        gap_BV = logits_BV - logits_BV.amax(-1, keepdim=True)
        logits_BV = logits_BV.masked_fill(gap_BV.exp() < share, -math.inf)
    return logits_BV


def repeating(seen: Sequence[int], size: int) -> list[int]:
    """Return the tokens that would complete a sequence of ``size`` tokens for the second time."""
    if size == 0 or len(seen) < size:
        return []
    ending = tuple(seen[len(seen) + 1 - size :])
    return [
        seen[at + size - 1]
        for at in range(len(seen) - size + 1)
        if tuple(seen[at : at + size - 1]) == ending
    ]


def _tempered(logits_BV: Tensor, temperatures: list[float]) -> Tensor:
    """Divide by temperatures; where one is so low that this overflows, the likeliest remains.

    Logits mean the same when their largest is subtracted first: then none becomes infinite.
    """
    low = [temperature < _LOW for temperature in temperatures]
    if any(low):
        best_B1 = logits_BV.amax(-1, keepdim=True)
        logits_BV = torch.where(_column(logits_BV, low) > 0, logits_BV - best_B1, logits_BV)
    return logits_BV / _column(logits_BV, [max(t, _TINY) for t in temperatures])


def _top_k(logits_BV: Tensor, top_k: list[int]) -> Tensor:
    size = logits_BV.shape[-1]
    counts = [min(k, size) or size for k in top_k]
    index_B1 = torch.tensor(counts, device=logits_BV.device)[:, None] - 1
    best = logits_BV.topk(max(counts), dim=-1).values
    return logits_BV.masked_fill(logits_BV < best.gather(-1, index_B1), -math.inf)


def _top_p(logits_BV: Tensor, top_p: list[float]) -> Tensor:
    sorted_BV, order_BV = logits_BV.sort(descending=True, dim=-1)
    probs_BV = sorted_BV.softmax(-1)
    before_BV = probs_BV.cumsum(-1) - probs_BV
    drop_BV = before_BV >= _column(logits_BV, top_p)
    drop_BV &= _column(logits_BV, top_p) < 1
    drop_BV[:, 0] = False
    return logits_BV.masked_fill(
        torch.zeros_like(drop_BV).scatter(-1, order_BV, drop_BV), -math.inf
    )


def _column(like: Tensor, values: Sequence[float]) -> Tensor:
    return like.new_tensor(values)[:, None]
