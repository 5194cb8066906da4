"""Objects in image files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .images import placed, read_image
from .program import Array, load


def predict(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return what ``luban predict`` says of each file."""
    about, run = load(folder)
    read, say = about["preprocessing"], about["postprocessing"]
    answers: list[Any] = []
    for record in records:
        pixels, image = read_image(Path(record["image"]), read)
        found = run(pixel_values=pixels)
        boxes, scores = found["boxes"][0].astype(np.float64), found["scores"][0]
        (width, height), _ = placed(image, read)
        moved = np.array([int((read["width"] - width) / 2), int((read["height"] - height) / 2)] * 2)
        scale = np.array([width / image.width, height / image.height] * 2)
        boxes = np.clip((boxes - moved) / scale, 0, [image.width, image.height] * 2)
        objects = chosen(boxes, scores, say)
        answers.append({"objects": objects, "width": image.width, "height": image.height})
    return answers


def chosen(boxes: Array, scores: Array, say: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects of an image, the best first: no two of them the same."""
    order = np.argsort(-scores.ravel(), kind="stable")[: say["candidates"]]
    kept: list[tuple[int, float, Array]] = []
    for at in order[scores.ravel()[order] >= say["score_threshold"]].tolist():
        place, label = divmod(at, scores.shape[1])
        box = boxes[place]
        if (box[2:] - box[:2] <= say["least_side"]).any():
            continue
        same = [other for name, _, other in kept if name == label]
        if all(overlap(box, other) <= say["nms_threshold"] for other in same):
            kept.append((label, float(scores.ravel()[at]), box))
    return [
        {"label": say["labels"][label], "score": score, "box": box.round(2).tolist()}
        for label, score, box in kept[: say["max_detections"]]
        if score >= say["display_threshold"]
    ]


def overlap(one: Array, other: Array) -> float:
    """Return the area of the intersection of two boxes over that of their union."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    both = float(np.prod(np.maximum(sides, 0)))
    return both / (float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - both)
