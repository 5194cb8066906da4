"""Augmentations of images against Pillow, numpy's padding, and what they are said to do."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from luban.core.contracts import Augmentation, AugmentationContext, Example
from luban.core.errors import RecipeError
from luban.data.augmentations.rand_augment import OPERATIONS
from luban.data.views.mixed_labels import label_shares, mixed_labels


def picture(seed: int, height: int = 12, width: int = 10, channels: int = 3) -> Any:
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


OWN: Example = {"pixels": picture(0), "label": np.asarray(1, np.int32)}
OTHER: Example = {"pixels": picture(1), "label": np.asarray(2, np.int32)}


def applied(name: str, example: Example = OWN, seed: int = 0, **fields: Any) -> Mapping[str, Any]:
    made = Augmentation.from_dict({"name": name, **fields})
    return made.apply(example, AugmentationContext(np.random.default_rng(seed), lambda: OTHER))


def test_a_flip_is_a_mirror_and_takes_boxes_along() -> None:
    boxes = np.array([[1.0, 2.0, 4.0, 9.0]])
    marked = {**OWN, "boxes": boxes}
    found = applied("flip", marked, probability=1.0)
    np.testing.assert_array_equal(found["pixels"], OWN["pixels"][:, ::-1])
    assert found["boxes"].tolist() == [[6.0, 2.0, 9.0, 9.0]]
    below = applied("flip", marked, probability=1.0, direction="vertical")
    np.testing.assert_array_equal(below["pixels"], OWN["pixels"][::-1])
    assert below["boxes"].tolist() == [[1.0, 3.0, 4.0, 10.0]]
    assert boxes.tolist() == [[1.0, 2.0, 4.0, 9.0]]
    twice = [applied("flip", seed=seed)["pixels"] is OWN["pixels"] for seed in range(400)]
    assert 150 < sum(twice) < 250


@pytest.mark.parametrize("mode", ["reflect", "constant", "edge"])
@pytest.mark.parametrize("padding", [2, 9])
def test_a_crop_is_a_window_of_the_padded_image(mode: Any, padding: int) -> None:
    padded = np.pad(OWN["pixels"], ((padding, padding), (padding, padding), (0, 0)), mode)
    windows = {
        padded[y : y + 12, x : x + 10].tobytes()
        for y, x in itertools.product(range(2 * padding + 1), repeat=2)
    }
    seen = {
        np.ascontiguousarray(
            applied("random-crop", seed=s, padding_mode=mode, padding=padding)["pixels"]
        ).tobytes()
        for s in range(300)
    }
    assert seen <= windows
    assert len(seen) > (20 if padding == 2 else 150)


def test_a_crop_of_one_pixel_or_far_away() -> None:
    dot = {"pixels": picture(0, 1, 1)}
    for mode in ("reflect", "edge"):
        assert (applied("random-crop", dot, padding_mode=mode)["pixels"] == dot["pixels"]).all()
    far = [
        applied("random-crop", dot, seed=s, padding_mode="constant", padding=5)["pixels"].any()
        for s in range(50)
    ]
    assert set(far) == {True, False}


def test_a_resized_crop_keeps_the_size_and_shows_a_part() -> None:
    ramp = {"pixels": np.tile(np.arange(0, 240, 6).astype(np.uint8)[None, :, None], (40, 1, 3))}
    for seed in range(20):
        found = applied("random-resized-crop", ramp, seed, scale=[0.25, 0.25], ratio=[1.0, 1.0])
        pixels = found["pixels"].astype(int)
        assert pixels.shape == (40, 40, 3)
        assert pixels[0, -1, 0] - pixels[0, 0, 0] == pytest.approx(234 / 2, abs=8)
    whole = applied("random-resized-crop", scale=[1.0, 1.0], ratio=[1.0, 1.0])
    np.testing.assert_array_equal(whole["pixels"], OWN["pixels"])


@pytest.mark.parametrize("name", ["random-resized-crop", "random-erasing"])
@pytest.mark.parametrize("fields", [{"scale": [0.5, 0.2]}, {"scale": [0.1, 2]}, {"ratio": [0, 1]}])
def test_bounds_must_rise(name: str, fields: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        applied(name, **fields)


@pytest.mark.parametrize(
    ("field", "place", "kind"),
    [("brightness", 0, "Brightness"), ("contrast", 1, "Contrast"), ("saturation", 2, "Color")],
)
@pytest.mark.parametrize("seed", range(4))
def test_colours_change_as_pillow_changes_them(
    field: str, place: int, kind: str, seed: int
) -> None:
    only: dict[str, Any] = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, field: 0.8}
    factor = 1 + 0.8 * np.random.default_rng(seed).uniform(-1, 1, 3)[place]
    image = getattr(ImageEnhance, kind)(Image.fromarray(OWN["pixels"])).enhance(factor)
    found = applied("color-jitter", seed=seed, **only)["pixels"].astype(int)
    assert np.abs(found - np.asarray(image)).max() <= 2  # Pillow rounds greys on the way


def test_grey_images_have_no_saturation() -> None:
    grey = {"pixels": picture(0, channels=1)}
    found = applied("color-jitter", grey, brightness=0.0, contrast=0.0, saturation=1.0)
    np.testing.assert_array_equal(found["pixels"], grey["pixels"])


def test_erasing_hides_about_the_share_it_says() -> None:
    large = {"pixels": picture(0, 64, 64)}
    shares = []
    for seed in range(50):
        found = applied("random-erasing", large, seed, probability=1.0, scale=[0.1, 0.1])
        changed = (found["pixels"] != large["pixels"]).any(2)
        rows, columns = changed.any(1).nonzero()[0], changed.any(0).nonzero()[0]
        inside = found["pixels"][rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        shares.append(inside.size / large["pixels"].size)
        assert (inside == large["pixels"].mean((0, 1)).round()).all()
    assert max(shares) == pytest.approx(0.1, abs=0.02)


def test_a_cutmix_counts_both_by_what_is_seen_of_them() -> None:
    for seed in range(30):
        found = applied("cutmix", seed=seed, probability=1.0)
        theirs = (found["pixels"] == OTHER["pixels"]).all(2)
        own = (found["pixels"] == OWN["pixels"]).all(2)
        assert (theirs | own).all()
        share = float(found["other_shares"][0])
        assert share == pytest.approx(theirs.mean(), abs=1e-6)
        assert label_shares(found, 4).tolist() == pytest.approx([0, 1 - share, share, 0])


def test_a_mixup_is_the_weighted_mean_of_pixels_and_labels() -> None:
    for seed in range(10):
        found = applied("mixup", seed=seed, alpha=1.0)
        share = float(found["other_shares"][0])
        mean = OWN["pixels"] * (1 - share) + OTHER["pixels"] * share
        assert np.abs(found["pixels"] - mean).max() <= 0.51
        assert label_shares(found, 3).tolist() == pytest.approx([0, 1 - share, share])


def test_mixes_of_mixes_share_out_one_label() -> None:
    twice = {**OWN, **mixed_labels(OWN, OTHER, 0.5)}
    again = {**twice, **mixed_labels(twice, {"label": np.asarray(0)}, 0.2)}
    assert label_shares(again, 3).tolist() == pytest.approx([0.2, 0.4, 0.4])
    several = {"label": np.array([1, 0, 1], np.uint8)}
    mix = {**several, **mixed_labels(several, {"label": np.array([0, 1, 1], np.uint8)}, 0.25)}
    assert label_shares(mix, 3).tolist() == pytest.approx([0.75, 0.25, 1])
    assert mixed_labels({"pixels": OWN["pixels"]}, OTHER, 0.5) == {}


def test_rand_augment_is_made_of_pillow_s_distortions() -> None:
    image = Image.fromarray(picture(3, 16, 16))
    made = [operation(image, 0.5) for operation in OPERATIONS]
    expected = [
        image,
        ImageOps.autocontrast(image),
        ImageOps.equalize(image),
        ImageOps.solarize(image, 128),
        ImageOps.posterize(image, 6),
        ImageEnhance.Color(image).enhance(1.45),
        ImageEnhance.Contrast(image).enhance(1.45),
        ImageEnhance.Brightness(image).enhance(1.45),
        ImageEnhance.Sharpness(image).enhance(1.45),
    ]
    for found, wanted in zip(made, expected, strict=False):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))
    assert len(OPERATIONS) == 14
    for operation in OPERATIONS:
        for mode in ("L", "RGB"):
            found = operation(image.convert(mode), -0.3)
            assert (found.mode, found.size) == (mode, image.size)


def test_rand_augment_turns_and_moves_as_pillow_does() -> None:
    smooth = np.add.outer(np.arange(33) * 3, np.arange(33) * 4).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(smooth)
    turned = np.asarray(OPERATIONS[9](image, -1.0), int)
    wanted = np.asarray(image.rotate(30, Image.Resampling.BILINEAR, fillcolor=128), int)
    assert np.abs(turned - wanted)[8:-8, 8:-8].max() <= 3
    moved = np.asarray(OPERATIONS[12](image, 10 / (0.45 * 33)), int)
    np.testing.assert_array_equal(moved[:, :22], smooth[:, 10:32])
    assert (moved[:, 24:] == 128).all()


def test_rand_augment_draws_all_of_them_and_reads_grey() -> None:
    grey = {"pixels": picture(0, channels=1)}
    found = {applied("rand-augment", grey, s, num_ops=1)["pixels"].tobytes() for s in range(200)}
    assert 14 <= len(found) <= 28
    assert applied("rand-augment", grey)["pixels"].shape == grey["pixels"].shape
    assert applied("rand-augment", probability=0.0)["pixels"] is OWN["pixels"]
