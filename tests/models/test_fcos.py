"""The detector's trunk is transformers' ResNet, and says one thing for each of its places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from luban.core.contracts import Model, Signature
from luban.core.errors import RecipeError

SIGNATURES = Signature("pixels", 3, 2, produces="boxes", labels=("a", "b"), size=(64, 96))
SHAPE: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_sizes": [8, 16, 24],
    "depths": [1, 2, 1],
    "layer_type": "bottleneck",
}


@pytest.fixture
def theirs(tmp_path: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(**SHAPE, num_labels=5, downsample_in_first_stage=False)
    model = transformers.ResNetForImageClassification(config).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            statistics: Any = module
            statistics.running_mean.normal_()
            statistics.running_var.uniform_(0.5, 2)
    model.save_pretrained(tmp_path)
    return model


def test_the_trunk_of_a_pretrained_directory_computes_the_same(theirs: Any, tmp_path: Path) -> None:
    model: Model = Model.from_dict({"name": "fcos", "pretrained": str(tmp_path), "pyramid_size": 8})
    model = model.resolve()
    assert model.to_dict()["hidden_sizes"] == SHAPE["hidden_sizes"]
    module: Any = model.build(SIGNATURES).eval()
    fresh = model.start(module)
    assert {name.split(".")[0] for name in fresh} == {"pyramid", "head"}
    pixels = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs.resnet(pixels).last_hidden_state
        torch.testing.assert_close(module.features(pixels), expected, rtol=1e-4, atol=1e-4)


def test_another_directory_is_refused(theirs: Any, tmp_path: Path) -> None:
    shape = {"depths": [1, 1, 1], "hidden_sizes": SHAPE["hidden_sizes"]}
    model: Model = Model.from_dict({"name": "fcos", "pretrained": str(tmp_path), **shape})
    with pytest.raises(RecipeError, match="depths contradicts"):
        model.resolve()


@pytest.mark.parametrize("size", [(64, 96), (65, 31)])
@pytest.mark.parametrize("fields", [{}, {"finest_stride": 4}, {"extra_levels": 2}])
def test_one_answer_for_each_place(fields: dict[str, Any], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model: Model = Model.from_dict({"name": "fcos", **SHAPE, "pyramid_size": 8, **fields})
    module: Any = model.build(SIGNATURES)
    where = module.places(size)
    said = module(torch.randn(2, 3, *size))
    assert said.shape == (2, len(where), 7)
    assert (said[..., -5:-1] > 0).all()
    assert said[..., :2].sigmoid().mean().item() == pytest.approx(0.01, rel=0.2)
    assert set(where[:, 2].tolist()) == {float(stride) for stride in module.head.strides}


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"depths": [1, 2]}, "the same stages"),
        ({"finest_stride": 5}, "those of the stages"),
        ({"hidden_sizes": [6, 16, 24]}, "multiples of 4"),
    ],
)
def test_fields_that_contradict_each_other(fields: dict[str, Any], what: str) -> None:
    with pytest.raises(RecipeError, match=what):
        Model.from_dict({"name": "fcos", **SHAPE, **fields})


def test_images_smaller_than_a_place_are_refused() -> None:
    signature = Signature("pixels", 3, 2, produces="boxes", size=(4, 96))
    with pytest.raises(RecipeError, match="too small"):
        Model.from_dict({"name": "fcos", **SHAPE}).build(signature)
