"""Networks over frames: padding, lengths, and the edges of convolutions."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from luban.core.contracts import Model, Signature
from luban.core.errors import CapacityError, RecipeError

SMALL = {"hidden_size": 8, "num_hidden_layers": 2, "dropout": 0.0}
CONFORMER = {"name": "conformer", "num_attention_heads": 2, "conv_channels": 3, **SMALL}
MODELS: dict[str, dict[str, Any]] = {
    "conformer": CONFORMER,
    "transformer": {**CONFORMER, "block": "transformer"},
    "lstm": {"name": "rnn", **SMALL},
}


def signature(produces: str, stride: int) -> Signature:
    return Signature("frames", 10, 5, 64, pad=0, produces=produces, stride=stride)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize("produces", ["alignment", "label"])
def test_what_lies_beyond_the_end_changes_nothing(name: str, stride: int, produces: str) -> None:
    torch.manual_seed(0)
    module = Model.from_dict(MODELS[name]).build(signature(produces, stride)).double().eval()
    for length in (1, 2, 3, 5, 8, 13, 16, 17):
        heard = torch.randn(1, length, 10).double()
        alone = module(input_features=heard)
        noise = torch.full((1, 30 - length, 10), 7.0).double()  # even if padding is not zero
        mask = (torch.arange(30) < length).long()[None]
        padded = module(input_features=torch.cat([heard, noise], 1), attention_mask=mask)
        if produces == "alignment":
            assert alone.shape == (1, -(-length // stride), 5)
            padded = padded[:, : alone.shape[1]]
        torch.testing.assert_close(padded, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_every_frame_is_heard(name: str) -> None:
    torch.manual_seed(0)
    module = Model.from_dict(MODELS[name]).build(signature("label", 4)).double().eval()
    heard = torch.randn(1, 23, 10).double().requires_grad_()
    module(input_features=heard).sum().backward()
    assert heard.grad is not None
    assert bool((heard.grad.abs().sum(2) > 0).all())


@pytest.mark.parametrize("block", ["conformer", "transformer"])
def test_attention_hears_when_things_were_far_away(block: str) -> None:
    torch.manual_seed(0)
    fields = {**CONFORMER, "block": block, "num_hidden_layers": 1, "conv_depthwise_kernel_size": 3}
    module = Model.from_dict(fields).build(signature("alignment", 1)).double().eval()
    one, other = torch.randn(2, 5, 10).double()
    hum = torch.randn(10).double()
    heard, swapped = hum.repeat(2, 1, 61, 1)
    heard[:, 10:15], heard[:, 46:51] = one, other
    swapped[:, 10:15], swapped[:, 46:51] = other, one
    between = (module(input_features=heard) - module(input_features=swapped))[:, 25:36]
    assert float(between.detach().abs().max()) > 1e-6  # without places it is 1e-15


def test_a_recording_too_long_for_the_positions_is_told() -> None:
    module = Model.from_dict(CONFORMER).build(signature("alignment", 4))
    with pytest.raises(CapacityError, match="longer than the model's positions"):
        module(input_features=torch.zeros(1, 80, 10))


def test_bad_shapes_are_told() -> None:
    with pytest.raises(RecipeError, match="odd number"):
        Model.from_dict({"name": "conformer", "conv_depthwise_kernel_size": 4})
    with pytest.raises(RecipeError, match="multiple of 2 num_attention_heads"):
        Model.from_dict({"name": "conformer", "hidden_size": 12})
    with pytest.raises(RecipeError, match="not made for this task"):
        Model.from_dict(MODELS["lstm"]).build(Signature("frames", 4, 4, produces="next"))


def test_a_conformer_block_is_that_of_the_paper() -> None:
    """x~ = x + F/2; x' = x~ + A; x'' = x' + C; y = norm(x'' + F/2) (2005.08100, section 2.4)."""
    torch.manual_seed(0)
    module: Any = Model.from_dict(CONFORMER).build(signature("alignment", 1)).eval()
    block = module.blocks[0]
    x, mask = torch.randn(2, 9, 8), torch.ones(2, 9)
    rotary = module.rotary(9)
    y = x + block.first_mlp(block.first_layernorm(x)) / 2
    y = y + block.self_attn(block.input_layernorm(y), rotary=rotary)
    c, gate = block.convolution.gate_proj(block.convolution_layernorm(y)).chunk(2, -1)
    c = block.convolution.depthwise((c * gate.sigmoid()).mT).mT
    c = torch.nn.functional.silu(block.convolution.norm(c))
    y = y + block.convolution.down_proj(c)
    y = block.final_layernorm(y + block.mlp(block.post_attention_layernorm(y)) / 2)
    torch.testing.assert_close(block(x, rotary, mask), y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_the_cost_of_a_frame_falls_with_the_stride(name: str) -> None:
    model = Model.from_dict(MODELS[name])
    costs = []
    for stride in (1, 2, 4):
        asked = signature("alignment", stride)
        size = sum(p.numel() for p in model.build(asked).parameters())
        costs.append(model.flops_per_token(asked, size))
    assert costs[0] > costs[1] > costs[2] > 0
