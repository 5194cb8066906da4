"""Per-example losses: a sum and a count for each example, never a mean of means.

Shapes: B examples, any further axes, C classes.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from luban.core.batch import Losses

IGNORE = -100


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int = IGNORE,
) -> Losses:
    """Return -sum_c q_c log p_c with p = softmax(logits), summed over each example's positions.

    q is 1 - s + s/C at the target and s/C elsewhere, s the label smoothing (Szegedy et al.
    2015, 1512.00567). The sums are in nats and float32; positions of ``ignore_index`` do not
    count.

    Args:
        logits: Shape (B, ..., C).
        targets: Class ids, shape (B, ...).
        label_smoothing: Share of the target spread over all classes, 0 to 1.
        ignore_index: Target that carries no loss.
    """
    each = F.cross_entropy(
        logits.flatten(0, -2).float(),
        targets.flatten(),
        reduction="none",
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )
    return _reduced(each.view_as(targets), targets != ignore_index)


def binary_cross_entropy(
    logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, mask: Tensor | None = None
) -> Losses:
    """Return -(y log p + (1 - y) log(1 - p)) with p = sigmoid(logits), summed by example.

    With smoothing s the target y becomes y (1 - s) + s/2. Computed from the logits, so it stays
    finite where p rounds to 0 or 1.

    Args:
        logits: Shape (B, ...).
        targets: Shape of ``logits``, 0 to 1.
        label_smoothing: Share of the target moved to one half, 0 to 1.
        mask: Shape of ``logits``, true where a value counts (None: everywhere).
    """
    smooth = targets.float() * (1 - label_smoothing) + label_smoothing / 2
    each = F.binary_cross_entropy_with_logits(logits.float(), smooth, reduction="none")
    return _reduced(each, mask)


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
