"""Sizes, channels, normalisation and bad images, against numpy and Hugging Face's processors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from luban.core.contracts import Record
from luban.core.errors import DataError, RecipeError, RunError, UnreadableError
from luban.data.media import preprocessor
from luban.data.media.images import to_png
from luban.data.media.media_files import Media
from luban.data.media.preprocessor import Preprocessor, Sample, Traits
from luban.data.store import build
from tests.tasks.toy_images import pixels, records, task


def test_size_channels_and_normalisation_are_learned() -> None:
    learned = task().learn(records(height=6, width=9))
    signature = learned.signature()
    assert (signature.accepts, signature.inputs, signature.size) == ("pixels", 3, (6, 9))
    assert (signature.outputs, signature.labels) == (3, ("a", "b", "c"))
    batch = learned.collate(learned.encode_batch(records(height=6, width=9)))
    values = batch.inputs["pixel_values"]
    assert values.shape == (12, 3, 6, 9)
    assert values.dtype == torch.float32
    assert values.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(values.mean((0, 2, 3)), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(values.std((0, 2, 3)), torch.ones(3), atol=2e-3, rtol=0)


def test_grey_stays_grey_even_where_it_is_written_as_colours() -> None:
    rows = [{**row, "image": np.repeat(row["image"], 3, 2)} for row in records(channels=1)]
    assert task().learn(rows).signature().inputs == 1
    assert task().learn(records(channels=1)).signature().inputs == 1
    assert task(channels=3).learn(rows).signature().inputs == 3
    rows[5]["image"] = pixels(5)
    assert task().learn(rows).signature().inputs == 3


def test_images_of_many_sizes_become_one() -> None:
    rows = [*records(height=30, width=20), *records(height=20, width=30)]
    assert task().learn(rows).signature().size == (224, 224)
    learned = task(image_size=16).learn(rows)
    assert {e["pixels"].shape for e in learned.encode_batch(rows)} == {(16, 16, 3)}
    assert task(image_size=[16, 8]).learn(rows).signature().size == (16, 8)


def test_what_the_recipe_gives_is_not_learned() -> None:
    given = {"image_size": 8, "channels": 3, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    damaged = [{**row, "image": Media("x", b"no image")} for row in records()]
    learned = task(**given).learn(damaged)  # nothing had to be looked at
    white = np.full((8, 8, 3), 255, np.uint8)
    values = learned.pixel_values([{"pixels": white}])
    assert set(values.flatten().tolist()) == {2.0}
    grey = task(image_mean=[0.5] * 3).learn(records(channels=1))
    assert (grey.signature().inputs, len(set(grey._look.std))) == (3, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"image_mean": [0.5] * 3, "channels": 1},
        {"image_mean": [0.5, 0.5], "image_std": [0.5, 0.5]},
        {"image_size": 0},
        {"image_size": [8, 0]},
        {"image_size": [8, 8, 8]},
        {"channels": 2},
        {"image_std": [0.0]},
        {"crop_pct": 1.5},
        {"augmentations": ["flop"]},
    ],
    ids=str,
)
def test_bad_fields(fields: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        task(**fields).learn(records())


@pytest.mark.parametrize(
    ("record", "error"),
    [
        ({"label": "a"}, DataError),
        ({"image": 3, "label": "a"}, DataError),
        ({"image": "photo.jpg", "label": "a"}, DataError),
        ({"image": pixels(0)}, DataError),
        ({"image": pixels(0), "label": None}, DataError),
        ({"image": pixels(0), "label": "z"}, DataError),
        ({"image": pixels(0), "label": ["a"]}, DataError),
        ({"image": np.zeros((2, 2, 7), np.uint8), "label": "a"}, UnreadableError),
        ({"image": Media("x.png", to_png(pixels(0))[:60]), "label": "a"}, UnreadableError),
    ],
    ids=["none", "number", "name", "no label", "null", "unknown", "list", "array", "truncated"],
)
def test_bad_records_are_named(record: dict[str, Any], error: type[DataError]) -> None:
    learned = task(image_size=8, channels=3).learn(records())
    with pytest.raises(error) as caught:
        learned.encode({**record, "_where": "here:7"})
    assert "here:7" in str(caught.value) or "x.png" in str(caught.value)


def test_training_without_a_readable_image_is_refused() -> None:
    damaged = [{**row, "image": Media("x.png", b"no image")} for row in records()]
    with pytest.raises(DataError, match="no training image can be read"):
        task().learn(damaged)
    with pytest.raises(DataError, match="no training records"):
        task().learn([])


def test_a_damaged_image_is_set_apart(tmp_path: Path) -> None:
    rows: list[Record] = [dict(row) for row in records()]
    rows[4] = {**rows[4], "image": Media("bad.png", to_png(pixels(4))[:70])}
    store = build(task().learn(rows), rows, tmp_path / "store")
    assert len(store) == 11
    assert len(store.apart) == 1
    assert store.apart.lines[0].startswith("p:4")
    np.testing.assert_array_equal(store[4]["pixels"], pixels(5))


def test_what_was_learned_comes_back(tmp_path: Path) -> None:
    learned = task(resize="pad").learn(records(height=6))
    learned.save(tmp_path)
    again = task(resize="pad").load(tmp_path)
    assert again.signature() == learned.signature()
    row = records(1, height=30, width=50)[0]
    np.testing.assert_array_equal(again.encode(row)["pixels"], learned.encode(row)["pixels"])
    saved = json.loads((tmp_path / "images.json").read_text())
    assert saved.pop("resample") == "bilinear"
    (tmp_path / "images.json").write_text(json.dumps(saved))  # as it was before there was a choice
    assert task(resize="pad").load(tmp_path)._look == learned._look
    assert not (tmp_path / "preprocessor_config.json").exists()  # no image processor pads so
    (tmp_path / "images.json").unlink()
    with pytest.raises(RunError):
        task().load(tmp_path)


@pytest.mark.parametrize("fields", [{"resize": "stretch"}, {}, {"crop_pct": 0.8}], ids=str)
def test_hugging_face_sees_the_same_images(fields: dict[str, Any], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from PIL import Image

    smooth = np.kron(pixels(0, 6, 9), np.ones((8, 8, 1), np.uint8))
    learned = task(image_size=24, **fields).learn([{**r, "image": smooth} for r in records()])
    learned.save(tmp_path)
    config = json.loads((tmp_path / "preprocessor_config.json").read_text())
    theirs = getattr(transformers, config["image_processor_type"] + "Pil")(**config)
    values = theirs(Image.fromarray(smooth), return_tensors="np")["pixel_values"][0]
    ours = learned.pixel_values([learned.encode_input({"image": smooth})])[0]
    levels = np.abs(values - ours.numpy()) * np.array(learned._look.std)[:, None, None] * 255
    assert levels.max() <= 1.01  # a pixel is rounded once or twice, in either order


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"size": {"height": 20, "width": 30}}, ((20, 30), "stretch", 1.0)),
        ({"size": 20}, ((20, 20), "stretch", 1.0)),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, ((224, 224), "crop", 0.875)),
        ({"size": {"shortest_edge": 384}}, ((384, 384), "stretch", 1.0)),
        (
            {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224},
            ((224, 224), "crop", 0.875),
        ),
        (
            {
                "size": {"height": 256, "width": 256},
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
            },
            ((224, 224), "stretch", 0.875),
        ),
    ],
)
def test_the_preprocessing_of_a_pretrained_model(
    config: dict[str, Any], expected: tuple[Any, ...], tmp_path: Path
) -> None:
    means = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.2, 0.3]}
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({**means, **config}))
    learned = task(preprocessor=str(tmp_path)).learn(records())
    look = learned._look
    assert (look.size, look.resize, look.crop_pct) == expected
    assert (look.mean, look.std) == ((0.4, 0.5, 0.6), (0.2, 0.2, 0.3))
    assert task(preprocessor=str(tmp_path), image_size=9).learn(records()).signature().size == (
        9,
        9,
    )
    path.write_text(json.dumps({**means, **config, "do_normalize": False}))
    look = task(preprocessor=str(tmp_path)).learn(records())._look
    assert (look.mean, look.std) == ((0.0,) * 3, (1.0,) * 3)
    path.write_text("{}")
    with pytest.raises(RecipeError, match=r"preprocessor_config\.json"):
        task(preprocessor=str(tmp_path)).learn(records())


def test_cropping_keeps_the_middle() -> None:
    ramp = np.tile(np.arange(100, dtype=np.uint8)[None, :, None], (100, 1, 3))
    look = Preprocessor((50, 50), (0.5,) * 3, (0.5,) * 3, "crop", 0.5)
    np.testing.assert_array_equal(look.read(ramp), ramp[25:75, 25:75])


def test_a_sample_is_even_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(seed: int) -> list[int]:
        sample = Sample(20)
        monkeypatch.setattr(sample, "_rng", np.random.default_rng(seed))
        for number in range(200):
            sample.see((np.full((1, 1), number), ""))
        return [int(image[0, 0]) for image, _ in sample.kept if isinstance(image, np.ndarray)]

    assert kept(0) == kept(0)
    counts = np.bincount(np.concatenate([kept(seed) for seed in range(300)]), minlength=200)
    assert counts.sum() == 300 * 20
    assert abs(counts[:100].sum() - counts[100:].sum()) < 4 * 6000**0.5
    few = Sample(20)
    few.see((pixels(0), "x"))
    assert len(few.kept) == 1


def test_traits_are_those_of_the_images() -> None:
    images = [(pixels(seed, 5, 7), "") for seed in range(4)]
    traits = Traits.of([*images, (Media("bad", b"?"), "")], None)
    every = np.stack([image for image, _ in images]) / 255
    assert traits.size == (5, 7)
    assert not traits.grey
    assert traits.mean == pytest.approx(every.mean((0, 1, 2)), abs=1e-4)
    assert traits.std == pytest.approx(every.std((0, 1, 2)), abs=1e-4)
    blank = Traits.of([(np.zeros((4, 4, 1), np.uint8), "")], 1)
    assert blank == Traits((4, 4), True, (0.0,), (1.0,))
    assert preprocessor.DEFAULT_SIZE == (224, 224)
