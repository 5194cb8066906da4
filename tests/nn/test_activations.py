"""Values and gradients against closed forms, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from luban.nn.activations import ACTIVATIONS

X = torch.linspace(-6, 6, 241, dtype=torch.float64)


def normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def normal_pdf(x: Tensor) -> Tensor:
    return torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def logistic(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def inner(x: Tensor) -> Tensor:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def gelu_tanh(x: Tensor) -> Tensor:
    return x / 2 * (1 + torch.tanh(inner(x)))


def gelu_tanh_slope(x: Tensor) -> Tensor:
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return (1 + torch.tanh(inner(x))) / 2 + x / 2 * slope / torch.cosh(inner(x)) ** 2


def step(x: Tensor) -> Tensor:
    return (x > 0).double()


Function = Callable[[Tensor], Tensor]
#: name -> (value, derivative)
FORMS: dict[str, tuple[Function, Function]] = {
    "sigmoid": (logistic, lambda x: logistic(x) * logistic(-x)),
    "tanh": (lambda x: torch.sinh(x) / torch.cosh(x), lambda x: 1 / torch.cosh(x) ** 2),
    "relu": (lambda x: x * step(x), step),
    "gelu": (lambda x: x * normal_cdf(x), lambda x: normal_cdf(x) + x * normal_pdf(x)),
    "gelu_new": (gelu_tanh, gelu_tanh_slope),
    "gelu_pytorch_tanh": (gelu_tanh, gelu_tanh_slope),
    "silu": (
        lambda x: x * logistic(x),
        lambda x: logistic(x) * (1 + x * logistic(-x)),
    ),
    "relu2": (lambda x: (x * step(x)) ** 2, lambda x: 2 * x * step(x)),
}


def test_every_activation_has_a_closed_form() -> None:
    assert ACTIVATIONS.keys() == FORMS.keys()


@pytest.mark.parametrize("name", FORMS)
def test_value_and_gradient(name: str) -> None:
    value, slope = FORMS[name]
    x = X.clone().requires_grad_()
    y = ACTIVATIONS[name](x)
    torch.testing.assert_close(y, value(X), atol=1e-12, rtol=1e-10)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, slope(X), atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("name", FORMS)
def test_the_name_means_the_same_in_transformers(name: str) -> None:
    from transformers.activations import ACT2FN

    torch.testing.assert_close(ACTIVATIONS[name](X), ACT2FN[name](X))


@pytest.mark.parametrize("name", FORMS)
def test_extreme_inputs_stay_finite(name: str) -> None:
    x = torch.tensor([-1e4, -88.0, 0.0, 88.0, 1e4], requires_grad=True)
    y = ACTIVATIONS[name](x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert y.isfinite().all()
    assert gradient.isfinite().all()
