"""Labels of an example that is a mix: each of its parts counts by its share.

Shares belong to the example, not to the batch: a mix is the same whatever stands beside it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from luban.core.contracts import Example

Array: TypeAlias = "np.ndarray[Any, Any]"


def mixed_labels(example: Example, other: Example, share: float) -> dict[str, Array]:
    """Return ``other_labels`` (K, ...) and ``other_shares`` (K,) of a mix.

    Args:
        example: What is mixed; it may be a mix already. Its own share is what others leave.
        other: What is mixed in.
        share: Share of ``other``, 0 to 1.
    """
    if "label" not in example:
        return {}
    labels, label = example.get("other_labels"), other["label"][None]
    before = example.get("other_shares", np.zeros(0, np.float32)) * (1 - share)
    return {
        "other_labels": label if labels is None else np.concatenate([labels, label]),
        "other_shares": np.append(before, share).astype(np.float32),
    }


def label_shares(example: Example, classes: int) -> Array:
    """Return how much of an example each class is, float32 (C,): a soft target.

    Args:
        example: Its ``label`` is a number, or 0 or 1 for each class.
        classes: C.
    """
    own = _one_hot(example["label"], classes)
    if "other_labels" not in example:
        return own
    shares = example["other_shares"]
    others = [_one_hot(label, classes) for label in example["other_labels"]]
    mixed: Array = own * (1 - shares.sum()) + shares @ np.stack(others)
    return mixed.astype(np.float32)


def _one_hot(label: Array, classes: int) -> Array:
    found: Array = label if label.ndim else np.eye(1, classes, int(label))[0]
    return found.astype(np.float32)
