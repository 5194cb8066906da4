"""Beam search: the likeliest whole answers, kept a few at a time.

It knows only the protocol of ``luban.nn.cache``, and gives the tokens that ``generate`` of
transformers gives with ``num_beams`` and ``early_stopping=False``.

Shapes: N inputs that are not done, K beams each, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from luban.inference.engine import GeneratedSequence, begin
from luban.inference.sampling import repeating
from luban.nn.cache import Cache


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamParams:
    """How an answer is searched; names as in Hugging Face's ``GenerationConfig``.

    Attributes:
        num_beams: Unfinished answers kept at each step.
        length_penalty: An answer of n tokens and log-probability l scores l / n^length_penalty:
            more than 0 favours long answers, less than 0 short ones.
        max_new_tokens: Longest answer, the end token included.
        no_repeat_ngram_size: No sequence of so many tokens occurs twice (0: it may).
        end: The token that ends an answer.
    """

    num_beams: int
    length_penalty: float = 1.0
    max_new_tokens: int
    no_repeat_ngram_size: int = 0
    end: int


@dataclass(slots=True)
class _Search:
    """The search for the answer to one input.

    Attributes:
        row: Which input.
        beams: Tokens of each unfinished answer, the likeliest first; K of them.
        scores: Their log-probabilities.
        done: Whole answers with their scores, the best first; at most K.
    """

    row: int
    beams: list[tuple[int, ...]]
    scores: list[float]
    done: list[tuple[float, GeneratedSequence]] = field(default_factory=list)


@torch.inference_mode()
def beam_search(
    module: Any, prompts: Sequence[Sequence[int]], cache: Cache, params: BeamParams
) -> list[GeneratedSequence]:
    """Return the best answer to each input.

    At every step the 2 K likeliest continuations of all beams are looked at. Those that end
    and are among the first K become whole answers; the first K that do not end go on. An input
    is done when K answers are whole and the likeliest beam, scored at its present length, is
    no better than the worst of them; it then leaves the batch.

    Args:
        module: A module in evaluation mode whose ``decode`` reads into the cache.
        prompts: Tokens that each answer continues, at least one per input; a row each.
        cache: What ``read`` or ``new_cache`` returned, with room for prompt and answer.
        params: How to search.
    """
    beams = params.num_beams
    logits_NV = begin(module, prompts, cache)
    cache = cache.select([row for row in range(len(prompts)) for _ in range(beams)])
    logprobs_NKV = _logprobs(logits_NV)[:, None].repeat(1, beams, 1)
    # All beams begin alike: only the first may be continued.
    start = [0.0, *[-1e9] * (beams - 1)]
    live = [_Search(row, [()] * beams, start) for row in range(len(prompts))]
    found: dict[int, GeneratedSequence] = {}
    for length in range(1, params.max_new_tokens + 1):
        rows = _advance(live, prompts, logprobs_NKV, length, params)
        going = [at for at, search in enumerate(live) if not _is_done(search, length, params)]
        found |= {
            search.row: search.done[0][1] for at, search in enumerate(live) if at not in going
        }
        live = [live[at] for at in going]
        if not live:
            break
        cache = cache.select([row for at in going for row in rows[at]])
        last = [[beam[-1]] for search in live for beam in search.beams]
        logits_BV = module.decode(torch.tensor(last, device=logits_NV.device), cache)
        logprobs_NKV = _logprobs(logits_BV).view(len(live), beams, -1)
    return [found[row] for row in range(len(prompts))]


def _advance(
    live: list[_Search],
    prompts: Sequence[Sequence[int]],
    logprobs_NKV: Tensor,
    length: int,
    params: BeamParams,
) -> list[list[int]]:
    """Add a token to every beam; return the row that each new beam of each input came from."""
    beams, size = logprobs_NKV.shape[1:]
    if params.no_repeat_ngram_size:
        for n, search in enumerate(live):
            for k, beam in enumerate(search.beams):
                seen = [*prompts[search.row], *beam]
                logprobs_NKV[n, k, repeating(seen, params.no_repeat_ngram_size)] = -math.inf
    scores_NK = logprobs_NKV.new_tensor([search.scores for search in live])
    total_NX = (logprobs_NKV + scores_NK[:, :, None]).flatten(1)
    best = total_NX.topk(2 * beams, dim=1)
    rows = []
    for n, (search, values, places) in enumerate(
        zip(live, best.values.tolist(), best.indices.tolist(), strict=True)
    ):
        grown: list[tuple[tuple[int, ...], float]] = []
        kept: list[int] = []
        for rank, (logprob, place) in enumerate(zip(values, places, strict=True)):
            beam, token = divmod(place, size)
            tokens = (*search.beams[beam], token)
            if token == params.end or length == params.max_new_tokens:
                if rank < beams:
                    score = logprob / length**params.length_penalty
                    search.done.append((score, GeneratedSequence(tokens, logprob)))
            elif len(grown) < beams:
                grown.append((tokens, logprob))
                kept.append(n * beams + beam)
        search.done = sorted(search.done, key=lambda one: -one[0])[:beams]
        search.beams = [tokens for tokens, _ in grown]
        search.scores = [logprob for _, logprob in grown]
        rows.append(kept)
    return rows


def _is_done(search: _Search, length: int, params: BeamParams) -> bool:
    if length == params.max_new_tokens:
        return True
    if len(search.done) < params.num_beams:
        return False
    best: float = search.scores[0] / length**params.length_penalty
    return best <= search.done[-1][0]


def _logprobs(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(-1)
