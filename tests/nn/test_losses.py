"""Losses against closed forms, torch's own means, and their definition as sums per example."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import grad

from luban.core.batch import Losses
from luban.nn.losses import (
    IGNORE,
    WithAuxiliary,
    binary_cross_entropy,
    cross_entropy,
    mean_squared_error,
    soft_cross_entropy,
    with_auxiliary,
)


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


LOGITS = randn(3, 5, 7) * 2
TARGETS = torch.randint(7, (3, 5), generator=torch.Generator().manual_seed(1))
MASKED = TARGETS.clone()
MASKED[0, 2:] = IGNORE
MASKED[2] = IGNORE


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy_is_the_closed_form(smoothing: float) -> None:
    log_p = LOGITS.double() - LOGITS.double().exp().sum(-1, keepdim=True).log()
    q = F.one_hot(TARGETS, 7).double() * (1 - smoothing) + smoothing / 7
    losses = cross_entropy(LOGITS, TARGETS, label_smoothing=smoothing)
    torch.testing.assert_close(losses.sums.double(), -(q * log_p).sum((1, 2)), rtol=1e-5, atol=0)
    assert losses.counts.tolist() == [5.0, 5.0, 5.0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_mean_is_torch_s(smoothing: float) -> None:
    losses = cross_entropy(LOGITS, MASKED, label_smoothing=smoothing)
    expected = F.cross_entropy(
        LOGITS.flatten(0, 1), MASKED.flatten(), ignore_index=IGNORE, label_smoothing=smoothing
    )
    torch.testing.assert_close(losses.mean, expected)
    assert losses.counts.tolist() == [2.0, 5.0, 0.0]
    assert losses.sums[2] == 0


def test_cross_entropy_gradient_is_p_minus_q() -> None:
    logits = LOGITS.double().requires_grad_()
    (gradient,) = grad(cross_entropy(logits, MASKED, label_smoothing=0.1).sums.sum(), logits)
    kept = MASKED != IGNORE
    q = F.one_hot(MASKED.clamp(min=0), 7) * 0.9 + 0.1 / 7
    expected = (LOGITS.double().softmax(-1) - q) * kept[..., None]
    torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-5)


def test_classification_has_no_time_axis() -> None:
    losses = cross_entropy(LOGITS[:, 0], TARGETS[:, 0])
    torch.testing.assert_close(losses.sums, -LOGITS[:, 0].log_softmax(-1)[range(3), TARGETS[:, 0]])
    assert losses.counts.tolist() == [1.0, 1.0, 1.0]


def test_half_precision_logits_are_summed_in_float32() -> None:
    losses = cross_entropy(LOGITS.bfloat16(), TARGETS)
    assert losses.sums.dtype == torch.float32
    torch.testing.assert_close(losses.sums, cross_entropy(LOGITS.bfloat16().float(), TARGETS).sums)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy(smoothing: float) -> None:
    logits, targets = randn(4, 6) * 3, (randn(4, 6) > 0).float()
    p = torch.sigmoid(logits.double())
    y = targets.double() * (1 - smoothing) + smoothing / 2
    expected = -(y * p.log() + (1 - y) * (1 - p).log())
    losses = binary_cross_entropy(logits, targets, label_smoothing=smoothing)
    torch.testing.assert_close(losses.sums.double(), expected.sum(1), rtol=1e-5, atol=1e-6)
    leaf = logits.clone().requires_grad_()
    again = binary_cross_entropy(leaf, targets, label_smoothing=smoothing)
    torch.testing.assert_close(
        grad(again.sums.sum(), leaf)[0], (p - y).float(), atol=1e-6, rtol=1e-5
    )


def test_binary_cross_entropy_is_finite_where_sigmoid_rounds() -> None:
    losses = binary_cross_entropy(torch.tensor([[200.0], [-200.0]]), torch.tensor([[0], [1]]))
    assert losses.sums.tolist() == [200.0, 200.0]


def test_mean_squared_error() -> None:
    x, y = randn(4, 2, 3), randn(4, 2, 3).flip(0)
    losses = mean_squared_error(x, y)
    torch.testing.assert_close(losses.sums, ((x - y) ** 2).sum((1, 2)))
    torch.testing.assert_close(losses.mean, F.mse_loss(x, y))
    leaf = x.clone().requires_grad_()
    (gradient,) = grad(mean_squared_error(leaf, y).sums.sum(), leaf)
    torch.testing.assert_close(gradient, 2 * (x - y))


@pytest.mark.parametrize("loss", [binary_cross_entropy, mean_squared_error])
def test_a_mask_leaves_values_out(loss: Callable[..., Losses]) -> None:
    x, y = randn(3, 4), torch.rand(3, 4)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]).bool()
    x[0, 3] = torch.inf  # must not leak through the mask
    losses = loss(x, y, mask=mask)
    torch.testing.assert_close(losses.sums[0], loss(x[:1, :2], y[:1, :2]).sums[0])
    assert losses.counts.tolist() == [2.0, 4.0, 0.0]
    assert losses.sums[2] == 0


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "mean_squared_error"])
def test_losses_do_not_depend_on_how_a_batch_is_cut(name: str) -> None:
    x = randn(6, 5, 7)
    y = torch.rand(6, 5, 7)
    table: dict[str, Callable[[slice], Losses]] = {
        "cross_entropy": lambda rows: cross_entropy(x[rows], y[rows].argmax(-1)),
        "binary_cross_entropy": lambda rows: binary_cross_entropy(x[rows], y[rows]),
        "mean_squared_error": lambda rows: mean_squared_error(x[rows], y[rows]),
    }
    loss = table[name]
    whole = loss(slice(0, 6))
    parts = Losses.cat([loss(slice(0, 1)), loss(slice(1, 4)), loss(slice(4, 6))])
    torch.testing.assert_close(parts.sums, whole.sums)
    torch.testing.assert_close(parts.mean, whole.mean)


WEIGHT = torch.tensor([0.5, 1.0, 2.0, 4.0, 1.5, 0.1, 3.0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_weights_are_torch_s(smoothing: float) -> None:
    losses = cross_entropy(LOGITS, MASKED, weight=WEIGHT, label_smoothing=smoothing)
    expected = F.cross_entropy(
        LOGITS.flatten(0, 1),
        MASKED.flatten(),
        weight=WEIGHT,
        ignore_index=IGNORE,
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(losses.mean, expected)
    assert losses.counts[2] == 0
    torch.testing.assert_close(losses.counts[1], WEIGHT[TARGETS[1]].sum())


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_is_the_closed_form(gamma: float, weight: Tensor | None) -> None:
    losses = cross_entropy(LOGITS, MASKED, focal_gamma=gamma, weight=weight)
    p = LOGITS.double().softmax(-1).gather(-1, TARGETS[..., None]).squeeze(-1)
    w = torch.ones_like(p) if weight is None else weight[TARGETS].double()
    kept = MASKED != IGNORE
    expected = (-w * (1 - p) ** gamma * p.log() * kept).sum(1)
    torch.testing.assert_close(losses.sums.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(losses.counts.double(), (w * kept).sum(1))


def test_focal_loss_of_exponent_nothing_is_cross_entropy() -> None:
    for smoothing in (0.0, 0.1):
        plain = cross_entropy(LOGITS, MASKED, weight=WEIGHT, label_smoothing=smoothing)
        focal = cross_entropy(
            LOGITS, MASKED, weight=WEIGHT, label_smoothing=smoothing, focal_gamma=1e-9
        )
        torch.testing.assert_close(focal.sums, plain.sums)


def test_focal_loss_of_what_is_certain_has_a_gradient() -> None:
    leaf = torch.tensor([[60.0, -60.0], [-60.0, 60.0]], requires_grad=True)
    losses = cross_entropy(leaf, torch.tensor([0, 0]), focal_gamma=0.5)
    (gradient,) = grad(losses.sums.sum(), leaf)
    assert bool(gradient.isfinite().all())
    assert losses.sums.tolist() == pytest.approx([0.0, 120.0])


def test_weights_of_what_is_true_are_torch_s() -> None:
    logits, targets, weight = randn(4, 7) * 3, (randn(4, 7) > 0).float(), WEIGHT
    losses = binary_cross_entropy(logits, targets, pos_weight=weight)
    expected = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight)
    torch.testing.assert_close(losses.mean, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_focal_loss_is_the_closed_form(smoothing: float) -> None:
    logits, targets = randn(4, 7) * 3, (randn(4, 7) > 0).float()
    p = torch.sigmoid(logits.double())
    y = targets.double() * (1 - smoothing) + smoothing / 2
    w = WEIGHT.double()
    expected = -(w * y * (1 - p) ** 2 * p.log() + (1 - y) * p**2 * (1 - p).log())
    losses = binary_cross_entropy(
        logits, targets, pos_weight=WEIGHT, focal_gamma=2.0, label_smoothing=smoothing
    )
    torch.testing.assert_close(losses.sums.double(), expected.sum(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_of_whole_classes_soft_targets_are_hard_ones(
    smoothing: float, gamma: float, weighted: bool
) -> None:
    logits, targets = LOGITS[:, 0], TARGETS[:, 0]
    weight = randn(7).exp() if weighted else None
    hard = cross_entropy(
        logits, targets, label_smoothing=smoothing, weight=weight, focal_gamma=gamma
    )
    soft = soft_cross_entropy(
        logits,
        F.one_hot(targets, 7).float(),
        label_smoothing=smoothing,
        weight=weight,
        focal_gamma=gamma,
    )
    torch.testing.assert_close(soft.sums, hard.sums)
    torch.testing.assert_close(soft.counts, hard.counts)


def test_soft_cross_entropy_is_torch_s_of_shares() -> None:
    shares = randn(3, 7).softmax(-1)
    found = soft_cross_entropy(LOGITS[:, 0], shares, label_smoothing=0.1)
    expected = F.cross_entropy(LOGITS[:, 0], shares, label_smoothing=0.1)
    torch.testing.assert_close(found.mean, expected)


def test_an_auxiliary_loss_adds_by_its_weight_and_counts_nothing() -> None:
    torch.manual_seed(0)
    logits, auxiliary, targets = torch.randn(3, 4), torch.randn(3, 4), torch.tensor([0, 3, 2])
    both = with_auxiliary(
        WithAuxiliary(logits, auxiliary, 0.4), lambda z: cross_entropy(z, targets)
    )
    wanted = F.cross_entropy(logits, targets) + 0.4 * F.cross_entropy(auxiliary, targets)
    torch.testing.assert_close(both.mean, wanted)
    plain = with_auxiliary(logits, lambda z: cross_entropy(z, targets))
    torch.testing.assert_close(plain.mean, F.cross_entropy(logits, targets))
