"""Predictions and targets for every metric, and its best value where it is known."""

from __future__ import annotations

from typing import Any

import numpy as np

NATS = (
    [{"nats": 3.5}, {"nats": 8.0}, {"nats": 0.1}],
    [{"tokens": n, "bytes": n} for n in (2, 5, 1)],
)
SAID = (["a b c a b c a b c d", "one two", "床前明月光"], [None] * 3)
LABELLED = (
    [
        {"label": label, "score": max(s, 1 - s), "scores": {"a": s, "b": 1 - s}}
        for label, s in (("a", 0.9), ("a", 0.6), ("b", 0.2))
    ],
    [{"label": label} for label in "aba"],
)
VALUED = ([{"value": v} for v in (1.0, 2.5, 2.0)], [{"value": v} for v in (1.0, 2.0, 4.0)])
WROTE = (
    [{"text": text} for text in ("the cat sat on it", "a dog barks loudly at night", "床前月光")],
    [{"references": [text]} for text in ("the cat sat on a mat", "dogs bark", "床前明月光")],
)
SPELT = (
    [{"text": text, "score": -0.1} for text in ("the cat sat", "", "床前月光亮")],
    [{"text": text, "seconds": 1.0} for text in ("the cat sat down", "a dog", "床前明月光")],
)
ANSWERED = (
    [{"answer": text} for text in ("the red fox", "", "月光", "three")],
    [{"answers": texts} for texts in (["A fox", "dogs"], [], ["明月光"], ["3", "three"])],
)
_KEYS = ("type", "start", "end")
_FOUND: list[list[tuple[str, int, int]]] = [[("a", 0, 2), ("b", 2, 3)], [("a", 1, 2)], []]
_THERE: list[list[tuple[str, int, int]]] = [[("a", 0, 2)], [("a", 1, 2), ("b", 4, 6)], []]
ENTITIES = (
    [{"entities": [dict(zip(_KEYS, entity, strict=True)) for entity in row]} for row in _FOUND],
    [{"entities": [dict(zip(_KEYS, entity, strict=True)) for entity in row]} for row in _THERE],
)
DETECTED = (
    [
        {"objects": [{"label": n, "score": s, "box": [x, 0, x + 10, 10]} for n, s, x in image]}
        for image in ([("a", 0.9, 0), ("b", 0.8, 22)], [("a", 0.7, 2), ("b", 0.6, 5)], [])
    ],
    [
        {"objects": [{"label": n, "box": [x, 0, x + 10, 10]} for n, x in image]}
        for image in ([("a", 0), ("b", 20)], [("a", 1)], [("b", 4)])
    ],
)
#: Predictions and targets by metric, and what a perfect prediction gets (None: no such notion).
MEASURED: dict[str, tuple[list[Any], list[Any], float | None]] = {
    "choice-accuracy": (
        [{"choice": 1, "normalised_choice": 0}, {"choice": 2}, {"choice": [0, 1]}],
        [{"choice": 1}, {"choice": 0}, {"choice": 1}],
        1.0,
    ),
    "mean-loss": ([{"loss": x} for x in (0.5, 2.0, 1.0)], [{}] * 3, None),
    "reconstruction-error": ([{"squared_error": x} for x in (9.0, 4.0, 0.0)], [{}] * 3, None),
    "recognition": ([{"label": "a", "judged": x} for x in "aba"], [{}] * 3, None),
    "frechet-distance": (
        [{"features": np.random.default_rng(row).normal(size=4)} for row in range(9)],
        [{}] * 9,
        None,
    ),
    "nearest-distance": (
        [{"image": np.full((4, 6, 1), 9 * row, np.uint8)} for row in range(3)],
        [{}] * 3,
        None,
    ),
    "masked-accuracy": (
        [{"nats": 1.0, "correct": n} for n in (2, 0, 3)],
        [{"tokens": n} for n in (2, 1, 7)],
        None,
    ),
    "loss": (*NATS, None),
    "perplexity": (*NATS, None),
    "bits-per-byte": (*NATS, None),
    "distinct": (*SAID, None),
    "repetition": (*SAID, None),
    "memorisation": (*SAID, None),
    "entity-f1": (*ENTITIES, 1.0),
    **{name: (*SPELT, 0.0) for name in ("word-error-rate", "character-error-rate")},
    "real-time-factor": (*SPELT, None),
    "mean-average-precision": (*DETECTED, 1.0),
    **{name: (*ANSWERED, None) for name in ("exact-match", "answer-f1")},
    **{name: (*LABELLED, 1.0) for name in ("accuracy", "f1", "auroc", "matthews")},
    "top-k-accuracy": (*LABELLED, 1.0),
    "calibration-error": (*LABELLED, 0.0),
    **{name: (*VALUED, 1.0) for name in ("pearson", "spearman")},
    "rmse": (*VALUED, 0.0),
    **{name: (*WROTE, None) for name in ("bleu", "chrf", "ter", "rouge")},
}
