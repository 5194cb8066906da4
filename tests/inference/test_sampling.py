"""Filters equal those of transformers; draws follow the distribution and depend on no other row."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from torch import Tensor

from luban.core.errors import RequestError
from luban.inference.sampling import SamplingParams, filtered, sample

LOGITS = torch.randn(4, 50, generator=torch.Generator().manual_seed(0)) * 3
HISTORY = [[1, 2, 3, 1], [49], [], [7, 7, 8]]


def reference(params: SamplingParams, logits: Tensor, history: list[int]) -> Tensor:
    from transformers.generation import logits_process as hf

    steps: list[Any] = []
    if params.repetition_penalty != 1:
        steps.append(hf.RepetitionPenaltyLogitsProcessor(params.repetition_penalty))
    steps.append(hf.TemperatureLogitsWarper(float(params.temperature)))
    if params.top_k:
        steps.append(hf.TopKLogitsWarper(params.top_k))
    if params.top_p < 1:
        steps.append(hf.TopPLogitsWarper(params.top_p))
    if params.min_p:
        steps.append(hf.MinPLogitsWarper(params.min_p))
    ids, scores = torch.tensor([history], dtype=torch.long), logits[None].clone()
    for step in steps:
        scores = step(ids, scores)
    return scores[0]


@pytest.mark.parametrize(
    "fields",
    [
        {"top_k": 5},
        {"top_k": 500},
        {"top_p": 0.8},
        {"top_p": 1e-6},
        {"min_p": 0.1},
        {"repetition_penalty": 1.7},
        {"repetition_penalty": 0.6, "temperature": 0.5},
        {"temperature": 1.9, "top_k": 20, "top_p": 0.7, "min_p": 0.05, "repetition_penalty": 1.2},
    ],
    ids=str,
)
def test_filters_equal_transformers(fields: dict[str, Any]) -> None:
    params = SamplingParams(**fields)
    ours = filtered(LOGITS, [params] * 4, HISTORY)
    for row, history in enumerate(HISTORY):
        torch.testing.assert_close(ours[row], reference(params, LOGITS[row], history))


def test_every_row_has_its_own_filters() -> None:
    params = [
        SamplingParams(),
        SamplingParams(top_k=3, temperature=0.3),
        SamplingParams(top_p=0.5, repetition_penalty=1.3),
        SamplingParams(min_p=0.3, top_k=7),
    ]
    together = filtered(LOGITS, params, HISTORY)
    for row, one in enumerate(params):
        torch.testing.assert_close(together[row], reference(one, LOGITS[row], HISTORY[row]))


def test_ties_at_the_edge_of_top_k_stay() -> None:
    kept = filtered(torch.tensor([[2.0, 1.0, 1.0, 0.0]]), [SamplingParams(top_k=2)], [[]])
    assert kept.isfinite().tolist() == [[True, True, True, False]]


def test_logits_are_left_as_they_were() -> None:
    before = LOGITS.clone()
    params = [SamplingParams(repetition_penalty=2.0, temperature=0.5)] * 4
    sample(LOGITS, params, [random.Random(0)] * 4, HISTORY)
    assert torch.equal(LOGITS, before)


def test_temperature_zero_takes_the_best_and_draws_nothing() -> None:
    rng = random.Random(3)
    state = rng.getstate()
    ids = sample(LOGITS, [SamplingParams(temperature=0)] * 4, [rng] * 4, HISTORY)
    assert torch.equal(ids, LOGITS.argmax(-1))
    assert rng.getstate() == state


def test_draws_follow_the_distribution() -> None:
    """Chi-squared of 20,000 draws over 6 tokens: 5 degrees of freedom, 99.9 % at 20.5."""
    logits = torch.tensor([[0.0, 1.0, -1.0, 2.0, -math.inf, 0.5]])
    rng, count = random.Random(0), 20_000
    drawn = sample(
        logits.expand(count, -1), [SamplingParams()] * count, [rng] * count, [[]] * count
    ).bincount(minlength=6)
    expected = logits[0].softmax(-1) * count
    assert drawn[4] == 0
    kept = expected > 0
    assert ((drawn - expected)[kept].square() / expected[kept]).sum() < 20.5


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    params = [SamplingParams(seed=i, top_p=0.9) for i in range(4)]
    together = sample(LOGITS, params, [random.Random(i) for i in range(4)], HISTORY)
    alone = [
        sample(LOGITS[i : i + 1], [params[i]], [random.Random(i)], [HISTORY[i]]) for i in range(4)
    ]
    assert torch.equal(together, torch.cat(alone))


def test_greedy_and_drawn_rows_mix() -> None:
    params = [SamplingParams(temperature=0), SamplingParams(), SamplingParams(temperature=0)]
    rngs = [random.Random(5) for _ in range(3)]
    ids = sample(LOGITS[:3], params, rngs, HISTORY[:3])
    assert ids[0] == LOGITS[0].argmax()
    assert ids[2] == LOGITS[2].argmax()
    assert ids[1] == sample(LOGITS[1:2], params[1:2], [random.Random(5)], HISTORY[1:2])[0]


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": "hot"},
        {"top_k": -1},
        {"top_k": 2.0},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"min_p": True},
        {"repetition_penalty": 0},
        {"seed": 1.0},
        {"logprobs": 21},
        {"logprobs": -1},
        {"stop": "text"},
        {"stop": ("",)},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    (name,) = fields
    with pytest.raises(RequestError, match=name):
        SamplingParams(**fields)
