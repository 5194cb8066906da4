"""Every optimizer against its formula in float64, and on a bowl."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from luban.core import registry
from luban.core.contracts import Optimizer
from luban.core.errors import RecipeError
from luban.engine.optimizers.muon import orthogonal
from tests.engine import toy

STEPS = 8
Array = np.ndarray[Any, np.dtype[np.float64]]
Update = Callable[[Array, Array, int], Array]


def optimizer(name: str, **fields: Any) -> Optimizer:
    return Optimizer.from_dict({"name": name, **fields})


def sgd(lr: float, momentum: float, nesterov: bool, wd: float) -> Update:
    memory: dict[str, Array] = {}

    def update(w: Array, g: Array, t: int) -> Array:
        g = g + wd * w
        v = memory["v"] = momentum * memory["v"] + g if memory else g
        return w - lr * (g + momentum * v if nesterov else v)

    return update


def adagrad(lr: float, eps: float) -> Update:
    total = np.zeros(())

    def update(w: Array, g: Array, t: int) -> Array:
        nonlocal total
        total = total + g**2
        return w - lr * g / (np.sqrt(total) + eps)

    return update


def rmsprop(lr: float, alpha: float, momentum: float, eps: float) -> Update:
    square, velocity = np.zeros(()), np.zeros(())

    def update(w: Array, g: Array, t: int) -> Array:
        nonlocal square, velocity
        square = alpha * square + (1 - alpha) * g**2
        velocity = momentum * velocity + g / (np.sqrt(square) + eps)
        return w - lr * velocity

    return update


def adam(lr: float, betas: tuple[float, float], eps: float, wd: float, apart: bool) -> Update:
    m, v = np.zeros(()), np.zeros(())

    def update(w: Array, g: Array, t: int) -> Array:
        nonlocal m, v
        g = g if apart else g + wd * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        step = m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        return w - lr * step - (lr * wd * w if apart else 0)

    return update


def lion(lr: float, betas: tuple[float, float], wd: float) -> Update:
    m = np.zeros(())

    def update(w: Array, g: Array, t: int) -> Array:
        nonlocal m
        direction = np.sign(betas[0] * m + (1 - betas[0]) * g)
        m = betas[1] * m + (1 - betas[1]) * g
        return w - lr * (direction + wd * w)

    return update


def adafactor(lr: float, decay: float, threshold: float, eps: float) -> Update:
    """Algorithm 4 of the paper for a matrix, with eps1 the smallest float32 as torch has it."""
    rows, columns = np.zeros(()), np.zeros(())
    eps1 = float(np.finfo(np.float32).eps)

    def rms(x: Array) -> float:
        return float(np.sqrt(np.mean(x**2)))

    def update(w: Array, g: Array, t: int) -> Array:
        nonlocal rows, columns
        beta = 1 - t**decay
        scale = max(eps, rms(w)) * min(lr, 1 / math.sqrt(t))
        rows = beta * rows + (1 - beta) * (g**2).mean(1, keepdims=True)
        columns = beta * columns + (1 - beta) * (g**2).mean(0, keepdims=True)
        u = g / np.sqrt(np.maximum(rows * columns / rows.mean(), eps1**2))
        change: Array = scale * u / max(1.0, rms(u) / threshold)
        return w - change

    return update


def draws(seed: int = 0, shape: tuple[int, int] = (5, 4)) -> Iterator[Array]:
    generator = np.random.default_rng(seed)
    while True:
        yield generator.normal(size=shape)


CASES: list[tuple[dict[str, Any], Update]] = [
    ({"name": "sgd", "learning_rate": 0.1, "momentum": 0.0}, sgd(0.1, 0, False, 0)),
    ({"name": "sgd", "momentum": 0.9, "weight_decay": 0.2}, sgd(0.1, 0.9, False, 0.2)),
    ({"name": "sgd", "momentum": 0.8, "nesterov": True}, sgd(0.1, 0.8, True, 0)),
    ({"name": "adagrad", "learning_rate": 0.3}, adagrad(0.3, 1e-10)),
    ({"name": "rmsprop", "alpha": 0.9}, rmsprop(0.001, 0.9, 0, 1e-8)),
    ({"name": "rmsprop", "momentum": 0.7}, rmsprop(0.001, 0.99, 0.7, 1e-8)),
    ({"name": "adam", "weight_decay": 0.1}, adam(1e-3, (0.9, 0.999), 1e-8, 0.1, False)),
    ({"name": "adamw", "weight_decay": 0.1}, adam(1e-3, (0.9, 0.95), 1e-8, 0.1, True)),
    ({"name": "lion", "learning_rate": 0.01}, lion(0.01, (0.9, 0.99), 0.3)),
    ({"name": "adafactor"}, adafactor(0.01, -0.8, 1.0, 1e-3)),
]


@pytest.mark.parametrize(("fields", "update"), CASES, ids=[str(fields)[:60] for fields, _ in CASES])
def test_equals_the_formula_in_double_precision(fields: dict[str, Any], update: Update) -> None:
    weights = next(draws(1))
    parameter = nn.Parameter(torch.from_numpy(weights).float())
    built = Optimizer.from_dict(fields).build([("w", parameter)])
    for t, grad in zip(range(1, STEPS + 1), draws(2), strict=False):
        weights = update(weights, grad, t)
        parameter.grad = torch.from_numpy(grad).float()
        built.step()
    expected = torch.from_numpy(weights).float()
    torch.testing.assert_close(parameter.detach(), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_muon_equals_torchs_and_its_adamw_part_equals_adamw(precision: str) -> None:
    torch.manual_seed(0)
    shapes = {"a": (6, 6), "b": (6, 6), "up": (12, 6), "down": (6, 12)}
    ours = {name: nn.Parameter(torch.randn(shape)) for name, shape in shapes.items()}
    ours |= {"embed": nn.Parameter(torch.randn(9, 6)), "norm": nn.Parameter(torch.randn(6))}
    copy = {name: nn.Parameter(p.detach().clone()) for name, p in ours.items()}
    rates = {"weight_decay": 0.1, "adamw_weight_decay": 0.1, "adamw_learning_rate": 0.01}
    built = optimizer("muon", **rates).build(list(ours.items()))
    for group in built.param_groups:
        group["precision"] = precision
    muon = torch.optim.Muon([copy[name] for name in shapes], lr=0.02, weight_decay=0.1)
    adamw = optimizer("adamw", learning_rate=0.01, weight_decay=0.1)
    rest = adamw.build([("embed", copy["embed"]), ("norm", copy["norm"])])
    for _ in range(STEPS):
        for name, parameter in ours.items():
            parameter.grad = torch.randn(parameter.shape)
            copy[name].grad = parameter.grad.clone()
        built.step()
        muon.step()  # type: ignore[no-untyped-call]
        rest.step()
    for name in ours:
        near = 4e-3 if name in shapes else 1e-6  # torch's is in bf16, which rounds
        torch.testing.assert_close(ours[name], copy[name], rtol=0, atol=near)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(16, 16), (32, 8), (8, 32)])
def test_orthogonal_keeps_directions_and_levels_singular_values(
    shape: tuple[int, int], dtype: torch.dtype
) -> None:
    matrices = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in range(3)]
    for matrix, found in zip(matrices, orthogonal(matrices, 5, dtype), strict=True):
        u, _, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
        levels = torch.diagonal(u.mT @ found.double() @ vh.mT)
        assert 0.6 < float(levels.min()) <= float(levels.max()) < 1.3
        assert float((found.double() - u @ torch.diag(levels) @ vh).abs().max()) < 0.05


def test_orthogonal_takes_shapes_in_any_order() -> None:
    matrices = [torch.randn(s) for s in ((4, 4), (8, 4), (4, 4), (4, 8), (8, 4))]
    together = orthogonal(matrices, 5, torch.bfloat16)
    for matrix, found in zip(matrices, together, strict=True):
        torch.testing.assert_close(
            found, orthogonal([matrix], 5, torch.bfloat16)[0], rtol=0, atol=0.02
        )


def test_muon_leaves_embeddings_heads_norms_and_biases_to_adamw() -> None:
    names = {
        "model.embed_tokens.weight": (9, 4),
        "transformer.wte.weight": (9, 4),
        "lm_head.weight": (9, 4),
        "head.weight": (9, 4),
        "model.layers.0.self_attn.q_proj.weight": (4, 4),
        "model.layers.0.norm.weight": (4,),
        "model.layers.0.mlp.up.bias": (4,),
        "conv.weight": (4, 4, 3, 3),
    }
    members = [(name, nn.Parameter(torch.zeros(shape))) for name, shape in names.items()]
    built = optimizer("muon").build(members)
    muon = [name for g in built.param_groups if g["muon"] for name in g["param_names"]]
    assert muon == ["model.layers.0.self_attn.q_proj.weight"]
    assert sum(len(g["params"]) for g in built.param_groups) == len(names)


def test_muon_momentum_rises_over_its_warmup() -> None:
    parameter = nn.Parameter(torch.zeros(2, 2))
    built = optimizer("muon", momentum_warmup_steps=10, momentum=0.95).build([("w", parameter)])
    expected = torch.zeros(2, 2, dtype=torch.float64)
    for step in range(15):
        parameter.grad = torch.randn(2, 2)
        momentum = min(0.95, 0.85 + 0.1 * step / 10)
        expected = momentum * expected + (1 - momentum) * parameter.grad.double()
        built.step()
    found = built.state[parameter]["momentum_buffer"]
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)


RATES = {"adagrad": 0.5, "adafactor": 0.1, "sgd": 0.02}


@pytest.mark.parametrize("name", registry.names("optimizers"))
def test_minimises_a_convex_bowl(name: str) -> None:
    torch.manual_seed(0)
    target = torch.randn(6, 4)
    curvature = torch.linspace(0.5, 3, 6)[:, None]
    weights = nn.ParameterDict({"w": nn.Parameter(torch.zeros(6, 4)), "bias": torch.ones(3)})
    fields = {"learning_rate": RATES.get(name, 0.04), "weight_decay": 0.0}
    extra = {"adamw_learning_rate": 0.04} if name == "muon" else {}
    built = toy.optimizer_of(name, weights, **fields, **extra)

    def bowl() -> Tensor:
        off: Tensor = curvature * (weights["w"] - target).square()
        away: Tensor = weights["bias"].square()
        return off.sum() + away.sum()

    start = float(bowl().detach())
    for step in range(300):
        for group in built.param_groups:
            group["lr"] = group["initial_lr"] * (1 - step / 300)
        built.zero_grad()
        bowl().backward()  # type: ignore[no-untyped-call]
        built.step()
    assert float(bowl().detach()) < 2e-3 * start


@pytest.mark.parametrize("name", registry.names("optimizers"))
def test_groups_carry_rate_and_decay_only_matrices(name: str) -> None:
    extra = {"adamw_weight_decay": 0.25} if name == "muon" else {}
    built = toy.optimizer_of(name, toy.Net(), weight_decay=0.25, **extra)
    seen = set()
    for group in built.param_groups:
        assert group["lr"] == group["initial_lr"] > 0
        for member, parameter in zip(group["param_names"], group["params"], strict=True):
            seen.add(member)
            assert group["weight_decay"] == (0.25 if parameter.ndim >= 2 else 0.0)
    assert seen == {member for member, _ in toy.Net().named_parameters()}


@pytest.mark.parametrize("name", registry.names("optimizers"))
def test_state_goes_through_its_own_state_dict(name: str) -> None:
    def some_steps(state: Any, count: int) -> list[float]:
        return [step.loss for step in toy.train(state, toy.plan_of(count))]

    whole = some_steps(toy.state_of(name), 10)
    fresh, half = toy.state_of(name), toy.state_of(name)
    losses = []
    for step in toy.train(half, toy.plan_of(10)):
        losses.append(step.loss)
        if step.index == 4:
            break
    fresh.model.load_state_dict(half.model.state_dict())
    fresh.optimizer.load_state_dict(half.optimizer.state_dict())
    fresh.step = half.step
    losses += some_steps(fresh, 10)
    assert losses == whole


def test_bad_fields_are_refused() -> None:
    with pytest.raises(RecipeError, match="nesterov needs momentum"):
        optimizer("sgd", nesterov=True, momentum=0.0)
    with pytest.raises(RecipeError, match="greater than 0"):
        optimizer("adamw", learning_rate=0.0)
