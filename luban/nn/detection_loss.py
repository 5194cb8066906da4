"""What the places of a pyramid lose by not finding the boxes they answer for.

Shapes: B images, C classes, N boxes (filled up), P places.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from luban.core.batch import Losses
from luban.nn.boxes import generalised_overlap, overlaps
from luban.nn.detection import assign, boxes_at


def detection_loss(  # noqa: PLR0913
    said: Tensor,
    where: Tensor,
    boxes: Tensor,
    labels: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    box_weight: float = 2.0,
    radius: float = 1.5,
    crowds: Tensor | None = None,
) -> Losses:
    """Return each image's loss: of all places the class, of those with a box the box.

    The class is a yes or no for each, with the focal loss
    -w (1 - p)^g log p, where p is the chance given to what is true and w is ``alpha`` for yes,
    1 - ``alpha`` for no (Lin et al. 2017, 1708.02002); the box loses 1 - GIoU; its quality is
    the binary cross-entropy with the IoU reached. An image counts as many times as places
    answer for a box, and at least once: an empty image teaches that there is nothing.

    Args:
        said: What the head says, (B, P, C + 5).
        where: x, y and stride of places, (P, 3).
        boxes: Shape (B, N, 4).
        labels: Shape (B, N), negative at padding.
        alpha: Weight of yes.
        gamma: The focal exponent.
        box_weight: Weight of the box beside the class.
        radius: Strides from its centre within which places answer for a box.
        crowds: Whether a box stands for a group, bool (B, N): no place answers for it, and what
            is said of its class within it does not count.
    """
    where = where.to(said)
    logits, distances, quality = said[..., :-5], said[..., -5:-1], said[..., -1]
    unsettled = crowds is not None and bool(crowds.any())
    with torch.no_grad():
        single = labels.masked_fill(crowds, -1) if crowds is not None and unsettled else labels
        number = assign(where, boxes.to(said), single, radius=radius)
    found = number >= 0
    image, place = found.nonzero(as_tuple=True)
    goal = number[image, place]
    truth = torch.zeros_like(logits)
    truth[image, place, labels[image, goal]] = 1.0
    each_class = _focal(logits, truth, alpha, gamma)
    if crowds is not None and unsettled:
        open_ = _within(where, boxes.to(said), labels.masked_fill(~crowds, -1), logits.shape[-1])
        each_class = each_class * (1 - open_ * (1 - truth))
    sums = each_class.sum((1, 2))
    made = boxes_at(distances, where)[image, place]
    meant = boxes[image, goal].to(said)
    reached = overlaps(made.detach()[:, None], meant[:, None])[:, 0, 0]
    each = box_weight * (1 - generalised_overlap(made, meant))
    each = each + F.binary_cross_entropy_with_logits(
        quality[image, place], reached, reduction="none"
    )
    sums = sums.index_add(0, image, each)
    return Losses(sums, found.sum(1).clamp(min=1).to(sums.dtype))


def _within(where: Tensor, boxes: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return 1 for each place and class where the place lies in a box of the class, (B, P, C)."""
    x, y = where[:, 0, None], where[:, 1, None]
    x1, y1, x2, y2 = boxes[:, None].unbind(-1)
    inside = (x1 <= x) & (x <= x2) & (y1 <= y) & (y <= y2) & (labels >= 0)[:, None]  # (B, P, N)
    of_class = F.one_hot(labels.clamp(min=0), classes).to(boxes)
    return (inside.to(boxes) @ of_class).clamp(max=1)


def _focal(logits: Tensor, truth: Tensor, alpha: float, gamma: float) -> Tensor:
    chance = logits.sigmoid()
    right = truth * chance + (1 - truth) * (1 - chance)
    nats = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (truth * alpha + (1 - truth) * (1 - alpha)) * (1 - right) ** gamma * nats
