"""Boxes: how much they overlap, and which of many that say the same stay.

A box is (x1, y1, x2, y2): left, top, right and bottom edge in pixels, x2 >= x1 and y2 >= y1.
Shapes: N and M boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def areas(boxes: Tensor) -> Tensor:
    """Return the area of each box, (..., 4) to (...)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def overlaps(one: Tensor, other: Tensor) -> Tensor:
    """Return the area of the intersection over that of the union of every pair (IoU).

    Args:
        one: Shape (..., N, 4).
        other: Shape (..., M, 4).

    Returns:
        Shape (..., N, M), 0 to 1; 0 where both are empty.
    """
    one, other = one[..., :, None, :], other[..., None, :, :]
    both = _intersection(one, other)
    return both / (areas(one) + areas(other) - both).clamp(min=torch.finfo(both.dtype).eps)


def generalised_overlap(one: Tensor, other: Tensor) -> Tensor:
    """Return IoU - (enclosing - union) / enclosing, box by box, (..., 4) to (...).

    From -1 to 1; unlike the IoU it says how far boxes are apart that do not touch (Rezatofighi
    et al. 2019, 1902.09630). ``enclosing`` is the area of the smallest box around both.
    """
    both = _intersection(one, other)
    tiny = torch.finfo(both.dtype).eps
    union = (areas(one) + areas(other) - both).clamp(min=tiny)
    low, high = torch.minimum(one, other), torch.maximum(one, other)
    sides = high[..., 2:] - low[..., :2]
    enclosing = sides.prod(-1).clamp(min=tiny)
    return both / union - (enclosing - union) / enclosing


def suppress(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Return the numbers of the boxes that stay, best first: non-maximum suppression by class.

    From the best score down, a box goes if its IoU with a better one of its class that stayed is
    above the threshold. Of equal scores the earlier is the better.

    Args:
        boxes: Shape (N, 4).
        scores: Shape (N,).
        labels: Shape (N,).
        threshold: The largest IoU that two boxes of one class may have.
    """
    order = scores.argsort(descending=True, stable=True)
    sorted_boxes, sorted_labels = boxes[order], labels[order]
    same = sorted_labels[:, None] == sorted_labels[None]
    clash = ((overlaps(sorted_boxes, sorted_boxes) > threshold) & same).cpu().numpy()
    stays = torch.ones(len(order), dtype=torch.bool)
    kept = stays.numpy()
    for best in range(len(kept)):
        if kept[best]:
            kept[best + 1 :] &= ~clash[best, best + 1 :]
    return order[stays.to(order.device)]


def _intersection(one: Tensor, other: Tensor) -> Tensor:
    low = torch.maximum(one[..., :2], other[..., :2])
    high = torch.minimum(one[..., 2:], other[..., 2:])
    return (high - low).clamp(min=0).prod(-1)
