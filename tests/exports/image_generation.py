"""Images of a label, or of anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .program import load


def predict(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return the image of each record's noise, as lists of whole numbers (H, W, C)."""
    about, run = load(folder)
    labels = about["preprocessing"]["labels"]
    images = []
    for record in records:
        noise = np.array(record["noise"], np.float32)[None]
        number = labels.index(record["label"]) if labels else 0
        [made] = run(noise=noise, labels=np.array([number]))["images"]
        scaled = np.rint((np.clip(made, -1, 1) + 1) * 127.5)
        images.append(scaled.astype(np.uint8).transpose(1, 2, 0).tolist())
    return images
