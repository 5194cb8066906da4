"""What images become is what Hugging Face's own image processors make of them, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from luban.core.errors import RecipeError
from luban.data.media.image_processors import FILE, read_processor
from luban.data.media.preprocessor import Preprocessor

SIZES = [(48, 64), (65, 43), (32, 32), (9, 90), (31, 33)]


def picture(size: tuple[int, int]) -> Any:
    """Return a picture that is smooth, so that a shift by part of a pixel shows."""
    rng = np.random.default_rng(sum(size))
    coarse = rng.integers(0, 256, (size[0] // 4 + 2, size[1] // 4 + 2, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def check_same(theirs: Any, look: Preprocessor) -> None:
    """Compare in grey levels: a pixel is rounded once or twice, in either order."""
    for size in SIZES:
        pixels = picture(size)
        expected = theirs(Image.fromarray(pixels), return_tensors="np")["pixel_values"][0]
        ours = look.normalised(look.read(pixels)[None])[0]
        assert ours.shape == expected.shape
        levels = np.abs(ours - expected) * np.array(look.std)[:, None, None] * 255
        assert levels.max() <= 3.01
        assert levels.mean() <= 0.5


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("ViT", {"size": {"height": 24, "width": 40}}),
        ("ViT", {"size": {"height": 24, "width": 24}, "resample": 1}),
        ("ViT", {"size": {"height": 24, "width": 24}, "resample": 0, "do_normalize": False}),
        ("DeiT", {"size": {"height": 32, "width": 32}, "crop_size": {"height": 28, "width": 28}}),
        ("DeiT", {"size": {"height": 32, "width": 48}, "crop_size": {"height": 28, "width": 42}}),
        ("ConvNext", {"size": {"shortest_edge": 28}}),
        ("ConvNext", {"size": {"shortest_edge": 28}, "crop_pct": 0.95, "resample": 2}),
        ("ConvNext", {"size": {"shortest_edge": 384}}),
        ("EfficientNet", {"size": {"height": 35, "width": 35}}),
        (
            "EfficientNet",
            {
                "size": {"height": 35, "width": 35},
                "crop_size": {"height": 29, "width": 29},
                "do_center_crop": True,
                "include_top": False,
            },
        ),
        (
            "EfficientNet",
            {
                "size": {"height": 24, "width": 24},
                "rescale_factor": 1 / 127.5,
                "rescale_offset": True,
            },
        ),
        ("CLIP", {"size": {"shortest_edge": 28}, "crop_size": 28}),
        ("Bit", {"size": {"shortest_edge": 32}, "crop_size": 28}),
        ("MobileNetV2", {"size": {"shortest_edge": 32}, "crop_size": 28}),
    ],
)
def test_a_processor_is_read_as_it_works(name: str, fields: dict[str, Any], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = getattr(transformers, f"{name}ImageProcessorPil")(**fields)
    theirs.save_pretrained(tmp_path)
    look = Preprocessor(**read_processor(tmp_path))
    check_same(theirs, look)
    if look.size[0] == look.size[1] or look.resize == "stretch":
        (tmp_path / FILE).write_text(json.dumps(look.to_hf()))
        assert Preprocessor(**read_processor(tmp_path)) == look


@pytest.mark.parametrize(
    ("config", "name", "full"),
    [
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 24}, "ViT", {}),
        (
            {
                "feature_extractor_type": "DeiTFeatureExtractor",
                "size": 32,
                "do_center_crop": True,
                "crop_size": 28,
                "resample": 3,
            },
            "DeiT",
            {"size": {"height": 32, "width": 32}},
        ),
        (
            {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 28, "resample": 3},
            "ConvNext",
            {"size": {"shortest_edge": 28}},
        ),
        (
            {"feature_extractor_type": "CLIPFeatureExtractor", "size": 28, "crop_size": 28},
            "CLIP",
            {"size": {"shortest_edge": 28}},
        ),
    ],
)
def test_older_files_are_read_as_they_were_meant(
    config: dict[str, Any], name: str, full: dict[str, Any], tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    config |= {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.2, 0.3]}
    (tmp_path / FILE).write_text(json.dumps(config))
    theirs = getattr(transformers, f"{name}ImageProcessorPil")(**{**config, **full})
    check_same(theirs, Preprocessor(**read_processor(tmp_path)))


@pytest.mark.parametrize(
    "look",
    [
        Preprocessor((24, 40), (0.4, 0.5, 0.6), (0.2, 0.2, 0.3), "stretch"),
        Preprocessor((24, 24), (0.4, 0.5, 0.6), (0.2, 0.2, 0.3), "stretch", 0.8, "bicubic"),
        Preprocessor((24, 24), (0.4, 0.5, 0.6), (0.2, 0.2, 0.3), "crop"),
        Preprocessor((24, 24), (0.4, 0.5, 0.6), (0.2, 0.2, 0.3), "crop", 0.875),
        Preprocessor((400, 400), (0.4, 0.5, 0.6), (0.2, 0.2, 0.3), "crop", 0.9),
    ],
    ids=str,
)
def test_hugging_face_makes_the_same_of_what_is_written(look: Preprocessor, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / FILE).write_text(json.dumps(look.to_hf()))
    check_same(transformers.AutoImageProcessor.from_pretrained(tmp_path), look)


def test_grey_images_stay_grey(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    look = Preprocessor((24, 24), (0.4,), (0.2,))
    (tmp_path / FILE).write_text(json.dumps(look.to_hf()))
    theirs = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    grey = picture((30, 50))[:, :, :1]
    expected = theirs(Image.fromarray(grey[:, :, 0]), return_tensors="np")["pixel_values"][0]
    ours = look.normalised(look.read(grey)[None])[0]
    assert np.abs(ours - expected).max() <= 1.01 / 255 / 0.2


def test_nothing_is_claimed_that_hugging_face_does_not_do() -> None:
    normal = ((0.4, 0.5, 0.6), (0.2, 0.2, 0.3))
    assert Preprocessor((24, 24), *normal, "pad").to_hf() is None
    assert Preprocessor((24, 40), *normal, "crop").to_hf() is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"do_resize": False}, "do_resize is false"),
        ({"do_rescale": False}, "do_rescale is false"),
        ({"do_pad": True}, "do_pad is true"),
        ({"image_processor_type": "MobileViTImageProcessor"}, "MobileViT"),
        ({"size": {"shortest_edge": 80, "longest_edge": 90}}, "longest_edge"),
        (
            {"image_processor_type": "CLIPImageProcessor", "do_center_crop": False, "size": 24},
            "differ in size",
        ),
        ({"do_center_crop": True, "size": 24, "crop_size": 28}, "28 x 28 is cut out of 24 x 24"),
        (
            {"do_center_crop": True, "size": {"height": 24, "width": 48}, "crop_size": 20},
            "20 x 20 is cut out of 24 x 48",
        ),
        ({"resample": 9}, "cannot read"),
        ({"size": "large"}, "cannot read"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    fields: dict[str, Any], said: str, tmp_path: Path
) -> None:
    config = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.2, 0.3], "size": 24, **fields}
    (tmp_path / FILE).write_text(json.dumps(config))
    with pytest.raises(RecipeError, match=said):
        read_processor(tmp_path)
