"""Labels of image files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .images import read_image
from .program import label_of, load


def predict(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return what ``luban predict`` says of each file."""
    about, run = load(folder)
    answers = []
    for record in records:
        pixels, _ = read_image(Path(record["image"]), about["preprocessing"])
        [logits] = run(pixel_values=pixels)["logits"]
        answers.append(label_of(logits, about["postprocessing"]))
    return answers
