"""Per-example losses: a sum and a count for each example, never a mean of means.

Shapes: B examples, any further axes, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from luban.core.batch import Losses

IGNORE = -100


class WithAuxiliary(NamedTuple):
    """What a module with an auxiliary classifier returns in training, in place of its logits.

    Attributes:
        logits: Shape (B, ..., C), as in evaluation.
        auxiliary: What a head nearer to the input says of the same, of the same shape.
        weight: Of the auxiliary loss.
    """

    logits: Tensor
    auxiliary: Tensor
    weight: float


def with_auxiliary(output: Tensor | WithAuxiliary, loss: Callable[[Tensor], Losses]) -> Losses:
    """Return the loss of the logits, plus that of auxiliary ones by their weight, by example.

    Counts stay those of the logits (Szegedy et al. 2014, 1409.4842, section 5).
    """
    if not isinstance(output, WithAuxiliary):
        return loss(output)
    main = loss(output.logits)
    return Losses(main.sums + output.weight * loss(output.auxiliary).sums, main.counts)


def cross_entropy(  # noqa: PLR0913
    logits: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int = IGNORE,
    weight: Tensor | None = None,
    focal_gamma: float = 0.0,
) -> Losses:
    """Return -sum_c w_c q_c (1 - p_c)^g log p_c with p = softmax(logits), summed by example.

    q is 1 - s + s/C at the target and s/C elsewhere, s the label smoothing (Szegedy et al.
    2015, 1512.00567); g is the focal exponent (Lin et al. 2017, 1708.02002), which makes what is
    already right count less; w weighs the classes. A position counts as much as its target
    weighs, so that the mean is that of torch's ``CrossEntropyLoss(weight=w)``. The sums are in
    nats and float32; positions of ``ignore_index`` do not count.

    Args:
        logits: Shape (B, ..., C).
        targets: Class ids, shape (B, ...).
        label_smoothing: Share of the target spread over all classes, 0 to 1.
        ignore_index: Target that carries no loss.
        weight: Of each class, positive, shape (C,) (None: 1).
        focal_gamma: The focal exponent, at least 0.
    """
    flat, ids = logits.flatten(0, -2).float(), targets.flatten()
    kept = targets != ignore_index
    weight = weight.to(flat) if weight is not None else None
    if focal_gamma:
        each = _focal(flat, ids.where(kept.flatten(), 0), label_smoothing, weight, focal_gamma)
    else:
        each = F.cross_entropy(
            flat,
            ids,
            weight=weight,
            reduction="none",
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
        )
    if weight is None:
        return _reduced(each.view_as(targets), kept)
    sums = _reduced(each.view_as(targets), kept).sums
    counts = _reduced(weight[targets.where(kept, 0)], kept).sums
    return Losses(sums, counts)


def soft_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    weight: Tensor | None = None,
    focal_gamma: float = 0.0,
) -> Losses:
    """Return what ``cross_entropy`` does, of targets that are shares of the classes.

    Where all of a target is one class, both are equal.

    Args:
        logits: Shape (B, C).
        targets: Shares that sum to 1, shape (B, C).
        label_smoothing: Share of the target spread over all classes, 0 to 1.
        weight: Of each class, positive, shape (C,) (None: 1).
        focal_gamma: The focal exponent, at least 0.
    """
    weight = weight.to(logits.device, torch.float32) if weight is not None else None
    each, shares = _of_classes(logits.float(), weight, focal_gamma), targets.float()
    smooth = shares * (1 - label_smoothing) + label_smoothing / shares.shape[-1]
    counts = shares if weight is None else shares * weight
    return Losses((smooth * each).sum(-1), counts.sum(-1))


def binary_cross_entropy(  # noqa: PLR0913
    logits: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    mask: Tensor | None = None,
    pos_weight: Tensor | None = None,
    focal_gamma: float = 0.0,
) -> Losses:
    """Return -(w y (1 - p)^g log p + (1 - y) p^g log(1 - p)) with p = sigmoid(logits), by example.

    With smoothing s the target y becomes y (1 - s) + s/2; g is the focal exponent (Lin et al.
    2017), w the weight of what is true, as ``pos_weight`` of torch's ``BCEWithLogitsLoss``: it
    leaves the count alone. Computed from the logits, so it stays finite where p rounds to 0 or 1.

    Args:
        logits: Shape (B, ...).
        targets: Shape of ``logits``, 0 to 1.
        label_smoothing: Share of the target moved to one half, 0 to 1.
        mask: Shape of ``logits``, true where a value counts (None: everywhere).
        pos_weight: Weight of true targets, of a shape that broadcasts (None: 1).
        focal_gamma: The focal exponent, at least 0.
    """
    logits = logits.float()
    smooth = targets.float() * (1 - label_smoothing) + label_smoothing / 2
    if not focal_gamma:
        weight = None if pos_weight is None else pos_weight.to(logits)
        each = F.binary_cross_entropy_with_logits(
            logits, smooth, reduction="none", pos_weight=weight
        )
        return _reduced(each, mask)
    yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
    true = -smooth * (focal_gamma * no).exp() * yes
    false = -(1 - smooth) * (focal_gamma * yes).exp() * no
    return _reduced(false + (true if pos_weight is None else true * pos_weight.to(true)), mask)


def _focal(
    logits: Tensor, targets: Tensor, smoothing: float, weight: Tensor | None, gamma: float
) -> Tensor:
    """Return the focal cross-entropy of each row of (N, C)."""
    each = _of_classes(logits, weight, gamma)
    hit = each.gather(-1, targets[:, None]).squeeze(-1)
    return (1 - smoothing) * hit + smoothing * each.mean(-1)


def _of_classes(logits: Tensor, weight: Tensor | None, gamma: float) -> Tensor:
    """Return -w_c (1 - p_c)^g log p_c: what each class would add were it the target, (N, C)."""
    each = -logits.log_softmax(-1)
    if gamma:
        # 1 - p from the logarithm, bounded: the power has no gradient at 0 for gamma below 1.
        each = (-torch.expm1(-each)).clamp(min=1e-12) ** gamma * each
    return each if weight is None else each * weight


def mean_squared_error(
    predictions: Tensor, targets: Tensor, *, mask: Tensor | None = None
) -> Losses:
    """Return (x - y)^2 summed by example; the mean comes from the count.

    Args:
        predictions: Shape (B, ...).
        targets: Shape of ``predictions``.
        mask: Shape of ``predictions``, true where a value counts (None: everywhere).
    """
    each = F.mse_loss(predictions.float(), targets.float(), reduction="none")
    return _reduced(each, mask)


def _reduced(each: Tensor, mask: Tensor | None) -> Losses:
    """Sum all axes but the first."""
    rows = each.reshape(each.shape[0], -1)
    if mask is None:
        return Losses(rows.sum(1), rows.new_full((rows.shape[0],), float(rows.shape[1])))
    kept = mask.reshape(rows.shape)
    return Losses(rows.where(kept, 0).sum(1), kept.sum(1).to(rows.dtype))
