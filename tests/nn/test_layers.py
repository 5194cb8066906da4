"""Attention, norms, rotary positions and the cache against their definitions."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from luban.core.contracts import Signature
from luban.models.gpt import GPT
from luban.nn.attention import Attention, attend, causal_mask
from luban.nn.block import Block
from luban.nn.mlp import MLP, GatedMLP
from luban.nn.norms import RMSNorm
from luban.nn.rotary import Rotary, rotate
from luban.nn.shape import Shape

SHAPE = Shape(
    hidden_size=24,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=6,
    intermediate_size=40,
    hidden_act="silu",
)


def rand(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def plain_attention(q: Tensor, k: Tensor, v: Tensor, may_look: Tensor) -> Tensor:
    """One head, one query at a time."""
    out = torch.zeros(*q.shape[:3], v.shape[-1], dtype=q.dtype)
    group = q.shape[1] // k.shape[1]
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for t in range(q.shape[2]):
                keys = k[b, h // group][may_look[b, t]]
                weights = (keys @ q[b, h, t] / math.sqrt(q.shape[-1])).softmax(0)
                out[b, h, t] = weights @ v[b, h // group][may_look[b, t]]
    return out


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("kind", ["causal", "all", "mask"])
def test_attend_is_its_definition(kv_heads: int, kind: str) -> None:
    q, k, v = rand(2, 4, 5, 6), rand(2, kv_heads, 5, 6), rand(2, kv_heads, 5, 6).flip(0)
    may_look = torch.ones(2, 5, 5, dtype=torch.bool)
    mask = None
    if kind == "causal":
        may_look = may_look.tril()
    elif kind == "mask":
        may_look[0, :, 3:] = False
        mask = may_look[:, None]
    ours = attend(q, k, v, mask="causal" if kind == "causal" else mask)
    torch.testing.assert_close(ours, plain_attention(q, k, v, may_look))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [16, 300])
def test_gradients_of_every_path_agree(dtype: torch.dtype, length: int) -> None:
    """Short sequences, long ones and half precision take different paths on the processor."""
    q, k, v = (rand(2, 2, length, 8, dtype=dtype).flip(i).requires_grad_() for i in range(3))
    cotangent = rand(2, 2, length, 8, dtype=dtype)
    ours = torch.autograd.grad(attend(q, k, v, mask="causal"), (q, k, v), cotangent)
    exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    scores = exact[0] @ exact[1].mT / math.sqrt(8)
    scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
    theirs = torch.autograd.grad(scores.softmax(-1) @ exact[2], exact, cotangent.double())
    tolerance = 1e-4 if dtype == torch.float32 else 6e-2
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b, atol=tolerance * float(b.abs().max()), rtol=0)


def test_cross_attention_reads_the_memory() -> None:
    layer = Attention(replace(SHAPE, causal=False, attention_bias=True)).double()
    x, memory = rand(2, 3, 24), rand(2, 7, 24)
    y = layer(x, memory=memory)
    q = layer.q_proj(x).unflatten(-1, (4, 6)).transpose(1, 2)
    k = layer.k_proj(memory).unflatten(-1, (2, 6)).transpose(1, 2)
    v = layer.v_proj(memory).unflatten(-1, (2, 6)).transpose(1, 2)
    everything = torch.ones(2, 3, 7, dtype=torch.bool)
    mixed = plain_attention(q, k, v, everything).transpose(1, 2).flatten(2)
    torch.testing.assert_close(y, layer.o_proj(mixed))


def test_bidirectional_attention_ignores_order() -> None:
    layer = Attention(replace(SHAPE, causal=False)).double()
    x = rand(1, 5, 24)
    torch.testing.assert_close(layer(x.flip(1)), layer(x).flip(1))


@pytest.mark.parametrize("causal", [True, False])
def test_causal_mask(causal: bool) -> None:
    keep = torch.tensor([[0, 1, 1], [1, 1, 0]])
    first, second = causal_mask(keep, causal)[:, 0].int().tolist()
    if causal:
        assert first == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
        assert second == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    else:
        assert first == [[1, 1, 1], [0, 1, 1], [0, 1, 1]]
        assert second == [[1, 1, 0], [1, 1, 0], [1, 1, 1]]


def test_a_causal_block_does_not_see_the_future() -> None:
    block = Block(replace(SHAPE, qk_norm=True)).double()
    x = rand(1, 6, 24)
    changed = x.clone()
    changed[:, 4:] += 1
    torch.testing.assert_close(block(changed)[:, :4], block(x)[:, :4])
    assert not torch.allclose(block(changed)[:, 4:], block(x)[:, 4:])


def test_rms_norm() -> None:
    norm = RMSNorm(8, eps=0.1).double()
    nn.init.normal_(norm.weight)
    x = rand(2, 3, 8).requires_grad_()
    expected = x / (x.square().mean(-1, keepdim=True) + 0.1).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), expected)
    cotangent = rand(2, 3, 8).flip(1)
    ours = torch.autograd.grad(norm(x), (x, norm.weight), cotangent)
    theirs = torch.autograd.grad(expected, (x, norm.weight), cotangent)
    torch.testing.assert_close(ours, theirs)


def test_mlps() -> None:
    x = rand(2, 3, 24)
    gated = GatedMLP(SHAPE).double()
    gate = gated.gate_proj(x)
    torch.testing.assert_close(gated(x), gated.down_proj(gate * gate.sigmoid() * gated.up_proj(x)))
    plain = MLP(replace(SHAPE, hidden_act="relu", mlp_bias=True)).double()
    torch.testing.assert_close(plain(x), plain.down_proj(plain.up_proj(x).clamp(min=0)))
    assert plain.up_proj.bias is not None
    assert gated.up_proj.bias is None


def test_rotary_is_a_rotation_by_position() -> None:
    rotary = Rotary(6, 20, theta=100.0).double()
    rotary.reset_parameters()
    x = rand(1, 20, 1, 6)
    turned = rotate(x, *rotary(20))
    for t in range(20):
        for pair in range(3):
            a, b = float(x[0, t, 0, pair]), float(x[0, t, 0, pair + 3])
            angle = t * 100.0 ** (-pair / 3)
            got = turned[0, t, 0, [pair, pair + 3]].tolist()
            expected = complex(a, b) * complex(math.cos(angle), math.sin(angle))
            assert got == pytest.approx([expected.real, expected.imag], abs=1e-5)


def test_rotary_scores_depend_on_distance_only() -> None:
    rotary = Rotary(8, 50).double()
    q, k = rand(1, 1, 1, 8), rand(1, 1, 1, 8).flip(-1)

    def score(at: int, other: int) -> float:
        a = rotate(q, *rotary(1, torch.tensor([[at]])))
        b = rotate(k, *rotary(1, torch.tensor([[other]])))
        return float((a * b).sum())

    assert score(3, 7) == pytest.approx(score(40, 44), abs=1e-5)
    assert score(3, 7) != pytest.approx(score(3, 8), abs=1e-5)


def test_rotary_tables_survive_the_meta_device() -> None:
    expected = Rotary(8, 16)
    with torch.device("meta"):
        rotary = Rotary(8, 16)
    rotary.to_empty(device="cpu").reset_parameters()
    torch.testing.assert_close(rotary.cos_PD, expected.cos_PD)
    torch.testing.assert_close(rotary.sin_PD, expected.sin_PD)
    assert not rotary.state_dict()


SIGNATURES = Signature("tokens", 20, 20, 12)


def gpt(**fields: object) -> GPT:
    return GPT.from_dict({"name": "gpt", "hidden_size": 32, "num_hidden_layers": 2, **fields})


@pytest.mark.parametrize("layout", ["qwen3", "llama", "gpt2"])
def test_weights_are_drawn_alike_after_the_meta_device(layout: str) -> None:
    torch.manual_seed(0)
    here = gpt(layout=layout).build(SIGNATURES)
    with torch.device("meta"):
        there = gpt(layout=layout).build(SIGNATURES)
    there.to_empty(device="cpu")
    torch.manual_seed(0)
    there.init_weights()
    torch.manual_seed(0)
    here.init_weights()
    ids = torch.randint(20, (2, 12))
    torch.testing.assert_close(there(ids), here(ids))


def test_zero_init_output_makes_blocks_the_identity() -> None:
    module = gpt(zero_init_output=True).build(SIGNATURES)
    x = rand(1, 5, 32, dtype=torch.float32)
    assert module.model.rotary is not None
    for block in module.blocks:
        assert torch.equal(block(x, module.model.rotary(5)), x)


def test_fresh_weights_have_the_deviation_asked_for() -> None:
    torch.manual_seed(0)
    state = gpt(hidden_size=128, tie_word_embeddings=False).build(SIGNATURES).state_dict()
    assert float(state["model.layers.0.mlp.up_proj.weight"].std()) == pytest.approx(0.02, rel=0.05)
    assert float(state["model.layers.0.mlp.down_proj.weight"].std()) == pytest.approx(
        0.02 / 2, rel=0.05
    )
    model = gpt(hidden_size=128, tie_word_embeddings=False, initializer="fan_in")
    module = model.build(SIGNATURES)
    state = module.state_dict()
    assert float(state["model.embed_tokens.weight"].std()) == pytest.approx(1, rel=0.05)
    assert float(state["model.layers.0.mlp.up_proj.weight"].std()) == pytest.approx(
        128**-0.5, rel=0.05
    )
    assert not module(torch.randint(20, (2, 12))).any()


def test_dropout_acts_in_training_only() -> None:
    module = gpt(dropout=0.3).build(SIGNATURES)
    ids = torch.randint(20, (2, 12))
    assert not torch.equal(module(ids), module(ids))
    module.eval()
    assert torch.equal(module(ids), module(ids))


@pytest.mark.parametrize("layout", ["qwen3", "gpt2"])
def test_every_parameter_gets_a_gradient(layout: str) -> None:
    module = gpt(layout=layout, tie_word_embeddings=False).build(SIGNATURES)
    module(torch.randint(20, (2, 12))).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("layout", ["qwen3", "gpt2"])
def test_compile_has_no_graph_break(layout: str) -> None:
    module = gpt(layout=layout).build(SIGNATURES)
    ids = torch.randint(20, (2, 12))
    compiled = torch.compile(module, fullgraph=True)
    torch.testing.assert_close(compiled(ids), module(ids), atol=1e-5, rtol=1e-5)
    compiled(ids).sum().backward()
