"""Several sequences in one row, kept apart.

Shapes: B rows, T positions.
"""

from __future__ import annotations

import torch
from torch import Tensor


def packed_mask(segment_ids: Tensor) -> Tensor:
    """Return who may look where, (B, 1, T, T): at itself and before, within its own segment.

    Args:
        segment_ids: Which sequence each position belongs to, (B, T); padding is one of its own.
    """
    size = segment_ids.shape[1]
    same = segment_ids[:, None, :, None] == segment_ids[:, None, None, :]
    return same & torch.ones(size, size, dtype=torch.bool, device=segment_ids.device).tril()
