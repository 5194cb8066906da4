"""Labels of recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .program import label_of, load
from .sounds import read_sound


def predict(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return what ``luban predict`` says of each file."""
    about, run = load(folder)
    read = about["preprocessing"]
    filters = np.load(folder / read["mel_filters"])
    answers = []
    for record in records:
        features = read_sound(Path(record["audio"]), read, filters)
        mask = np.ones(features.shape[:2], np.int64)
        [logits] = run(input_features=features, attention_mask=mask)["logits"]
        answers.append(label_of(logits, about["postprocessing"]))
    return answers
