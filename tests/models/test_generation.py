"""Cached generation equals uncached, and a batch equals its rows one by one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from luban.core.contracts import Model, Signature
from luban.core.errors import CapacityError, RecipeError
from luban.inference.engine import Decoding, decoder, score
from luban.inference.sampling import SamplingParams
from luban.models.gpt import GPT
from luban.models.rnn import RNN

SIGNATURES = Signature("tokens", inputs=37, outputs=37, length=48, pad=0, end=1)
FIELDS: dict[str, dict[str, Any]] = {
    "qwen3": {"layout": "qwen3", "num_key_value_heads": 2},
    "llama": {"layout": "llama", "tie_word_embeddings": False},
    "gpt2": {"layout": "gpt2"},
}
MODELS: dict[str, Model] = {
    **{
        name: GPT.from_dict({"name": "gpt", "hidden_size": 32, "num_hidden_layers": 2, **fields})
        for name, fields in FIELDS.items()
    },
    **{
        cell: RNN.from_dict({"name": "rnn", "cell": cell, "hidden_size": 24})
        for cell in ("rnn", "lstm", "gru")
    },
}
PROMPTS = [[5], [9, 2, 30, 4, 4, 7], [3, 8, 11]]


@pytest.fixture(params=MODELS)
def module(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    built = MODELS[request.param].build(SIGNATURES).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return built


def continued(module: nn.Module, prompts: list[list[int]], seeds: list[int]) -> list[list[int]]:
    params = [SamplingParams(seed=seed, max_tokens=12) for seed in seeds]
    decoding = Decoding(module, prompts, params, length=48)
    for _ in range(12):
        decoding.step()
    return decoding.sequences


@torch.no_grad()
def test_cached_logits_equal_uncached(module: nn.Module) -> None:
    ids = torch.randint(37, (2, 40))
    whole = module(ids)
    cache = decoder(module).new_cache(2, 40)
    for start, end in ((0, 7), (7, 8), (8, 20), (20, 21), (21, 40)):
        logits = decoder(module).decode(ids[:, start:end], cache)
        torch.testing.assert_close(logits, whole[:, end - 1], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_rows_of_different_lengths(module: nn.Module) -> None:
    ids = torch.randint(37, (3, 30))
    whole = module(ids)
    cache = decoder(module).new_cache(3, 30)
    ends = [0, 0, 0]
    for counts in ([3, 9, 1], [2, 1, 6], [1, 1, 1], [4, 2, 1]):
        new = torch.zeros(3, max(counts), dtype=torch.long)
        for row, count in enumerate(counts):
            new[row, :count] = ids[row, ends[row] : ends[row] + count]
            ends[row] += count
        logits = decoder(module).decode(new, cache, counts)
        expected = torch.stack([whole[row, end - 1] for row, end in enumerate(ends)])
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    # Rows may leave, change places and be repeated.
    cache = cache.select([2, 0, 2])
    next_ids = torch.stack([ids[row, ends[row]] for row in (2, 0, 2)])[:, None]
    logits = decoder(module).decode(next_ids, cache)
    expected = torch.stack([whole[row, ends[row]] for row in (2, 0, 2)])
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_a_batch_equals_its_rows_one_by_one(module: nn.Module) -> None:
    together = continued(module, [*PROMPTS, PROMPTS[1]], [1, 2, 3, 2])
    alone = [continued(module, [p], [s])[0] for p, s in zip(PROMPTS, (1, 2, 3), strict=True)]
    assert together[:3] == alone
    assert together[3] == together[1]
    assert len(together[0]) == 13


def test_rows_that_leave_do_not_disturb(module: nn.Module) -> None:
    params = [SamplingParams(seed=seed) for seed in (1, 2, 3)]
    decoding = Decoding(module, PROMPTS, params, length=48)
    decoding.step()
    decoding.drop(0)
    for _ in range(11):
        decoding.step()
    assert decoding.live == [1, 2]
    assert decoding.sequences[1:] == continued(module, PROMPTS[1:], [2, 3])


@torch.no_grad()
def test_generated_logprobs_equal_scored_ones(module: nn.Module) -> None:
    params = SamplingParams(seed=0, logprobs=3, temperature=0.7)
    decoding = Decoding(module, [PROMPTS[1]], [params], length=48)
    tokens = [decoding.step()[0] for _ in range(5)]
    scored = score(module, decoding.sequences[0], top=3)
    assert scored[0].logprob is None
    for token, again in zip(tokens, scored[-5:], strict=True):
        assert token.id == again.id
        assert token.logprob == pytest.approx(again.logprob, abs=1e-5)
        assert [i for i, _ in token.top] == [i for i, _ in again.top]
        assert max(p for _, p in token.top) == token.top[0][1] >= (token.logprob or 0) - 1e-6


def test_a_full_cache_and_a_long_sequence_are_errors() -> None:
    module = MODELS["qwen3"].build(SIGNATURES)
    cache = decoder(module).new_cache(1, 4)
    with pytest.raises(CapacityError, match="cache is full"):
        decoder(module).decode(torch.zeros(1, 5, dtype=torch.long), cache)
    with pytest.raises(CapacityError, match="longer than the model's positions"):
        module(torch.zeros(1, 49, dtype=torch.long))


@pytest.mark.parametrize("model", [GPT(), RNN()], ids=["gpt", "rnn"])
def test_other_ports_are_refused(model: Model) -> None:
    with pytest.raises(RecipeError, match="is not made for this task") as caught:
        model.build(Signature("pixels", 3, 10))
    assert "pixels" in str(caught.value.got)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"hidden_size": 30}, "multiple of num_attention_heads"),
        ({"num_key_value_heads": 3}, "multiple of 3"),
        ({"head_dim": 7}, "even head_dim"),
        ({"layout": "gpt2", "num_key_value_heads": 2}, "no grouped queries"),
        ({"hidden_act": "mish"}, "hidden_act"),
        ({"hidden": 30}, "hidden_size"),
    ],
)
def test_shapes_that_cannot_be_are_refused(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        GPT.from_dict({"name": "gpt", **fields})


def test_limits_of_the_task_are_checked() -> None:
    with pytest.raises(RecipeError, match="fewer positions"):
        GPT(max_position_embeddings=16).build(SIGNATURES)
    with pytest.raises(RecipeError, match="fewer positions"):
        GPT().build(Signature("tokens", 5, 5))
    with pytest.raises(RecipeError, match="vocabulary is smaller"):
        GPT(vocab_size=36).build(SIGNATURES)
    with pytest.raises(RecipeError, match="tied head"):
        RNN.from_dict({"name": "rnn", "tie_word_embeddings": True, "embedding_size": 8})
