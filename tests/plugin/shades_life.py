"""The life of a plug-in that sees: images in base64, a recipe, and how to have them known."""

from __future__ import annotations

import base64
import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from luban.core import registry

PACKAGE = Path(__file__).parent / "shades"

RECIPE = """\
name: shades
data:
  source: {name: jsonl, path: rows.jsonl}
  split: {by: record, validation: 0.15, test: 0.3}
task: shade-sorting
model: mean-shade
train:
  max_steps: 60
  batch_size: 16
  optimizer: {name: adamw, learning_rate: 0.1}
  precision: fp32
  compile: "off"
  eval_steps: 30
evaluate: {bootstrap_rounds: 100}
"""


def know_shades(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process find the plug-in."""
    monkeypatch.syspath_prepend(str(PACKAGE))
    registry.forget_plugins()


def png(shade: int, size: tuple[int, int] = (9, 12), seed: int = 0) -> bytes:
    """Return a noisy grey picture of about one shade."""
    noise = np.random.default_rng(seed).integers(-20, 21, size)
    file = io.BytesIO()
    Image.fromarray(np.clip(shade + noise, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_shades(folder: Path, count: int = 120) -> Path:
    """Write ``rows.jsonl`` and ``recipe.yaml`` into a folder; return the recipe.

    Every seventh label is wrong, so that there are mistakes to look at.
    """
    draw, rows = random.Random(0), []
    for number in range(count):
        shade = draw.choice([40, 90, 160, 210])
        label = "light" if (shade > 128) != (number % 7 == 0) else "dark"
        image = base64.b64encode(png(shade, seed=number)).decode()
        rows.append({"image": image, "label": label, "id": number})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = folder / "recipe.yaml"
    path.write_text(RECIPE)
    return path
