"""Labels as numbers, and counts of what was predicted for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from luban.core.contracts import Statistics
from luban.core.positions import positions

Array: TypeAlias = "np.ndarray[Any, Any]"


def decisions(prediction: Any, target: Any, classes: Sequence[str]) -> Statistics:
    """Return (predicted, true) as class numbers.

    Of several labels: for each class whether it was both, then only predicted, then only true;
    3 K numbers, 0 or 1.
    """
    if "labels" not in target:
        places = positions(classes)
        return float(places[prediction["label"]]), float(places[target["label"]])
    said, true = set(prediction["labels"]), set(target["labels"])
    each = [(c in said, c in true) for c in classes]
    return (
        *(float(p and t) for p, t in each),
        *(float(p and not t) for p, t in each),
        *(float(t and not p) for p, t in each),
    )


def counts(rows: Array, classes: int) -> tuple[Array, Array, Array]:
    """Return true positives, false positives and false negatives by class from ``decisions``."""
    if rows.shape[1] == 3 * classes:
        hits, extra, missed = rows.sum(0).reshape(3, classes)
        return hits, extra, missed
    said, true = rows.astype(np.intp).T
    hits = np.bincount(true[said == true], minlength=classes)
    return (
        hits,
        np.bincount(said, minlength=classes) - hits,
        np.bincount(true, minlength=classes) - hits,
    )


def scores_of(prediction: Any, classes: Sequence[str]) -> list[float]:
    """Return the score of each class; where there are none, 1 for what was predicted."""
    if "scores" in prediction:
        return [float(prediction["scores"][c]) for c in classes]
    said = prediction.get("labels", [prediction.get("label")])
    return [float(c in said) for c in classes]


def truths(target: Any, classes: Sequence[str]) -> list[float]:
    """Return for each class whether it is a label of the target, as 0 or 1."""
    labels = target["labels"] if "labels" in target else [target["label"]]
    return [float(c in labels) for c in classes]
