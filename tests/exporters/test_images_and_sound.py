"""Networks over images and recordings as programs: any number of examples, any size if free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from luban.core.batch import Batch
from luban.core.contracts import Exporter, Model, Product, Signature
from luban.exporters.onnx import Onnx
from luban.exporters.torch_export import TorchExport
from tests.exporters.test_exporters import reload_program, run_onnx

LABELS = ("a", "b", "c")
SIDE, MELS = 32, 8
IMAGES = Signature("pixels", 3, 3, produces="label", labels=LABELS, size=(SIDE, SIDE))
BOXES = Signature("pixels", 3, 3, produces="boxes", labels=LABELS, size=(SIDE, SIDE))
WORDS = Signature("frames", MELS, 9, 0, 0, 1, produces="alignment", stride=4)
SOUNDS = Signature("frames", MELS, 3, produces="label", labels=LABELS)

HEADS = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
#: (model, signature, whether an image may have another size)
CASES: dict[str, tuple[dict[str, Any], Signature, bool]] = {
    "resnet": (
        {
            "name": "resnet", "depths": [1, 1], "hidden_sizes": [8, 12], "embedding_size": 8,
            "stem": "small",
        },
        IMAGES, True,
    ),
    "vit": ({"name": "vit", "patch_size": 8, **HEADS}, IMAGES, False),
    "fcos": (
        {
            "name": "fcos", "embedding_size": 6, "pyramid_size": 8, "depths": [1, 2],
            "hidden_sizes": [6, 8],
        },
        BOXES, True,
    ),
    "conformer": ({"name": "conformer", **HEADS}, WORDS, True),
    "rnn": ({"name": "rnn", "hidden_size": 8, "num_hidden_layers": 1}, SOUNDS, True),
    "rnn of words": ({"name": "rnn", "cell": "gru", "hidden_size": 8}, WORDS, True),
}  # fmt: skip
PROGRAMS: list[tuple[Exporter, Any, str]] = [
    (exporter, read, name)
    for exporter, read in ((TorchExport(), reload_program), (Onnx(), run_onnx))
    for name in CASES
]


def batch(signature: Signature, count: int, size: int) -> Batch:
    generator = torch.Generator().manual_seed(count)
    if signature.accepts == "pixels":
        pixels = torch.randn(count, 3, size, size, generator=generator)
        return Batch({"pixel_values": pixels}, {})
    frames = torch.randn(count, size, MELS, generator=generator)
    there = torch.arange(size) < size - torch.arange(count)[:, None].clamp(max=size // 2)
    return Batch({"input_features": frames, "attention_mask": there.long()}, {})


@pytest.mark.parametrize(
    ("exporter", "read", "name"), PROGRAMS, ids=[f"{p[0].name}-{p[2]}" for p in PROGRAMS]
)
def test_a_program_agrees_at_other_sizes(
    tmp_path: Path, exporter: Exporter, read: Any, name: str
) -> None:
    config, signature, any_size = CASES[name]
    torch.manual_seed(1)
    model: Model = Model.from_dict(config)
    module = model.build(signature).eval()
    report = exporter.write(Product(module, batch(signature, 4, SIDE)), tmp_path, tmp_path / "out")
    free = str(report.claims[f"{exporter.name}/free axes"].value).split(", ")
    inputs = list(batch(signature, 1, SIDE).inputs)
    assert free[0] == f"{inputs[0]}[0]", "any number of examples"
    assert (len(free) > 1) is any_size
    assert "input_features[2]" not in free
    for count, size in ((1, SIDE), (5, SIDE + 16 if any_size else SIDE)):
        given = dict(batch(signature, count, size).inputs)
        with torch.no_grad():
            expected = module(**given)
        np.testing.assert_allclose(
            read(tmp_path / "out", given).detach(), expected, atol=1e-4, rtol=0
        )
