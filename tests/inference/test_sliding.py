"""Text longer than the context: the last half of it is read anew, exactly as said."""

from __future__ import annotations

import pytest
import torch

from luban.core.contracts import Signature
from luban.inference.engine import Decoding
from luban.inference.sampling import SamplingParams
from luban.models.gpt import GPT

CONTEXT = 16


@pytest.mark.parametrize("prompts", [[[1, 2, 3]], [[1, 2, 3], [4, 5]]])
def test_generation_beyond_the_context_equals_the_uncached_rule(prompts: list[list[int]]) -> None:
    torch.manual_seed(0)
    model = GPT(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, initializer_range=0.5
    ).build(Signature("tokens", 20, 20, CONTEXT))
    greedy = [SamplingParams(max_tokens=60, temperature=0.0)] * len(prompts)
    decoding = Decoding(model.eval(), prompts, greedy, 64)
    for _ in range(60):
        decoding.step()
    assert decoding.sequences == _uncached(model, prompts)


@torch.inference_mode()
def _uncached(model: torch.nn.Module, prompts: list[list[int]]) -> list[list[int]]:
    """Continue each row alone: when its window outgrows the context, keep the last half of it."""
    whole = [list(prompt) for prompt in prompts]
    for row in whole:
        start = 0
        for _ in range(60):
            if len(row) - start > CONTEXT:
                start = len(row) - CONTEXT // 2
            row.append(int(model(torch.tensor([row[start:]]))[0, -1].argmax()))
    return whole
