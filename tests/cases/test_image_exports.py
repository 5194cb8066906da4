"""The exported program of a model that makes images gives, without Luban, what it generates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from luban.data.views.noise import noise_of
from tests.cases.test_exports import answers_without_luban
from tests.life import done
from tests.tasks.test_image_maker_lives import MODELS, write_maker

COUNT, SEED = 5, 7
LABELS = ("a", "b")


def seen(run: Path, label: str) -> list[Any]:
    """Return the images of a label that ``luban generate`` writes."""
    folder = run.parent / label
    done("generate", run, "--label", label, "--seed", SEED, "-n", COUNT, "--output", folder)
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]


@pytest.mark.parametrize(
    "name", ["vae", *(pytest.param(n, marks=pytest.mark.slow) for n in MODELS if n != "vae")]
)
def test_the_program_makes_the_images_of_generate(name: str, here: Path) -> None:
    done("train", write_maker(here, name), "export={formats: [onnx]}")
    run = here / "runs" / name
    done("export", run)
    # The key of the noise of a batch, as `generate` derives it from its seed.
    [child] = np.random.SeedSequence(SEED).spawn(1)
    key = int(child.generate_state(1)[0])
    noise = [noise_of(np.array([key, n]), (3, 8, 8))[0].tolist() for n in range(COUNT)]
    ours = [image for label in LABELS for image in seen(run, label)]
    records = [{"noise": one, "label": label} for label in LABELS for one in noise]
    job = {"folder": run / "export/onnx", "records": records}
    hidden = ("luban", "torch", "transformers")
    [theirs] = answers_without_luban(here / "without", [job], hidden)
    assert len(ours) == len(theirs) == len(records)
    # A model that was hardly trained may not yet tell its labels apart.
    assert len({image.tobytes() for image in ours}) >= COUNT
    for image, other in zip(ours, theirs, strict=True):
        # A hair's breadth at the edge of rounding is the next whole number.
        assert np.abs(image.astype(int) - np.array(other)).max() <= 1
        assert (image == np.array(other)).mean() > 0.95
