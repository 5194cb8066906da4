"""The task against numpy, scikit-learn, Hugging Face's preprocessing, and bad records."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import Ridge as SkRidge
from sklearn.metrics import confusion_matrix, top_k_accuracy_score
from torch import Tensor, nn

from luban.core.contracts import Model, Record, Stage, Task
from luban.core.errors import DataError, RecipeError, RunError, UnreadableError
from luban.data import preprocessor
from luban.data.held import Held
from luban.data.images import to_png
from luban.data.media import Media
from luban.data.preprocessor import Preprocessor, Sample, Traits
from luban.data.ridge import Ridge, shrunk
from luban.data.store import build
from luban.engine.loader import Loader
from luban.mechanisms.plain import Plain
from luban.metrics.f1 import F1
from luban.metrics.top_k_accuracy import TopKAccuracy
from luban.tasks.image_classification import ImageClassification


def pixels(seed: int, height: int = 8, width: int = 8, channels: int = 3) -> Any:
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def records(count: int = 12, classes: str = "abc", **form: int) -> list[dict[str, Any]]:
    return [
        {"image": pixels(row, **form), "label": classes[row % len(classes)], "_where": f"p:{row}"}
        for row in range(count)
    ]


def task(**fields: Any) -> ImageClassification:
    made = Task.from_dict({"name": "image-classification", **fields})
    assert isinstance(made, ImageClassification)
    return made


def test_size_channels_and_normalisation_are_learned() -> None:
    learned = task().learn(records(height=6, width=9))
    ports = learned.ports()
    assert (ports.accepts, ports.inputs, ports.size) == ("pixels", 3, (6, 9))
    assert (ports.outputs, ports.labels) == (3, ("a", "b", "c"))
    batch = learned.collate(learned.encode_batch(records(height=6, width=9)))
    values = batch.inputs["pixel_values"]
    assert values.shape == (12, 3, 6, 9)
    assert values.dtype == torch.float32
    assert values.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(values.mean((0, 2, 3)), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(values.std((0, 2, 3)), torch.ones(3), atol=2e-3, rtol=0)


def test_grey_stays_grey_even_where_it_is_written_as_colours() -> None:
    rows = [{**row, "image": np.repeat(row["image"], 3, 2)} for row in records(channels=1)]
    assert task().learn(rows).ports().inputs == 1
    assert task().learn(records(channels=1)).ports().inputs == 1
    assert task(channels=3).learn(rows).ports().inputs == 3
    rows[5]["image"] = pixels(5)
    assert task().learn(rows).ports().inputs == 3


def test_images_of_many_sizes_become_one() -> None:
    rows = [*records(height=30, width=20), *records(height=20, width=30)]
    assert task().learn(rows).ports().size == (224, 224)
    learned = task(image_size=16).learn(rows)
    assert {e["pixels"].shape for e in learned.encode_batch(rows)} == {(16, 16, 3)}
    assert task(image_size=[16, 8]).learn(rows).ports().size == (16, 8)


def test_what_the_recipe_gives_is_not_learned() -> None:
    given = {"image_size": 8, "channels": 3, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    damaged = [{**row, "image": Media("x", b"no image")} for row in records()]
    learned = task(**given).learn(damaged)  # nothing had to be looked at
    white = np.full((8, 8, 3), 255, np.uint8)
    values = learned.pixel_values([{"pixels": white}])
    assert set(values.flatten().tolist()) == {2.0}
    grey = task(image_mean=[0.5] * 3).learn(records(channels=1))
    assert (grey.ports().inputs, len(set(grey._look.std))) == (3, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"image_mean": [0.5], "channels": 3},
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
    assert store.apart[0].startswith("p:4")
    np.testing.assert_array_equal(store[4]["pixels"], pixels(5))


def test_what_was_learned_comes_back(tmp_path: Path) -> None:
    learned = task(resize="pad").learn(records(height=6))
    learned.save(tmp_path)
    again = task(resize="pad").load(tmp_path)
    assert again.ports() == learned.ports()
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
    assert task(preprocessor=str(tmp_path), image_size=9).learn(records()).ports().size == (9, 9)
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


class Column(nn.Module):
    """Logits that depend on where light is: the mean of the first column of each channel."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        return pixel_values[..., 0].mean(-1)


def test_tta_sees_the_mirror_image_too() -> None:
    rows = records()
    learned, plain = (task(tta=tta).learn(rows) for tta in ("flip", "none"))
    examples = learned.encode_batch(rows)
    mirrored = [{**example, "pixels": example["pixels"][:, ::-1]} for example in examples]
    one, other = (learned.predict(Column(), learned.collate(e)) for e in (examples, mirrored))
    sides = [plain.predict(Column(), plain.collate(e)) for e in (examples, mirrored)]
    for row in range(len(rows)):
        assert one[row]["scores"] == pytest.approx(other[row]["scores"])
        logits = np.mean([np.log(list(side[row]["scores"].values())) for side in sides], 0)
        expected = np.exp(logits) / np.exp(logits).sum()
        assert list(one[row]["scores"].values()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_the_loss_of_a_mix_is_that_of_its_parts_by_their_share(name: str) -> None:
    rows = records()
    learned = task(augmentations=[{"name": name, "probability": 1.0}]).learn(rows)
    examples = learned.encode_batch(rows)
    view = learned.view(Held(examples), 0, 0)
    mix, model = view[3], Column().eval()
    batch = learned.collate([mix])
    share = float(mix["other_shares"][0])
    parts = [
        learned.loss(model, learned.collate([{"pixels": mix["pixels"], "label": label}])).sums
        for label in (mix["label"], mix["other_labels"][0])
    ]
    expected = (1 - share) * parts[0] + share * parts[1]
    torch.testing.assert_close(learned.loss(model, batch).sums, expected)
    assert learned.view(Held(examples), None, 0)[3].keys() == {"pixels", "label"}


def test_whole_and_mixed_examples_share_a_batch() -> None:
    rows = records()
    fields = [{"name": "mixup", "probability": 0.5}, "flip"]
    learned = task(augmentations=fields, class_weights="balanced").learn(rows)
    view = learned.view(Held(learned.encode_batch(rows)), 0, 0)
    examples: Sequence[Any] = [view[row] for row in range(12)]
    assert 0 < sum("other_labels" in example for example in examples) < 12
    together = learned.loss(Column(), learned.collate(examples))
    alone = [learned.loss(Column(), learned.collate([example])) for example in examples]
    torch.testing.assert_close(together.sums, torch.cat([losses.sums for losses in alone]))
    torch.testing.assert_close(together.counts, torch.cat([losses.counts for losses in alone]))


def test_several_labels() -> None:
    labels = [["x"], [], ["x", "y"], ["z"]] * 3
    rows = [{**row, "label": found} for row, found in zip(records(), labels, strict=True)]
    learned = task(augmentations=["mixup"]).learn(rows)
    assert learned.ports().problem == "multi_label_classification"
    assert learned.metrics()[0].label == "macro-f1"
    view = learned.view(Held(learned.encode_batch(rows)), 0, 0)
    targets = learned.collate([view[row] for row in range(12)]).targets["labels"]
    assert targets.shape == (12, 3)
    assert 0 <= targets.min() <= targets.max() <= 1
    wrong = {"labels": ["x"], "scores": {"x": 0.9, "y": 0.2, "z": 0.1}}
    assert learned.mistake(wrong, {"labels": ["y"]}) == pytest.approx(0.9)
    assert learned.mistake(wrong, {"labels": ["x"]}) == 0


def test_workers_change_no_augmented_batch() -> None:
    rows = records()
    names = [
        "flip",
        {"name": "random-crop", "padding": 2},
        "cutmix",
        "color-jitter",
        "rand-augment",
        "random-erasing",
    ]
    learned = task(augmentations=names).learn(rows)
    store = Held(learned.encode_batch(rows))

    def loader(workers: int) -> Loader:
        return Loader(
            view=lambda epoch: learned.view(store, epoch, 5),
            collate=learned.collate,
            mechanism=Plain(),
            batch_size=5,
            workers=workers,
        )

    alone, other = loader(0).batches(), loader(2).batches()
    seen = []
    for _ in range(6):
        (one,), (two,) = next(alone), next(other)
        assert torch.equal(one.inputs["pixel_values"], two.inputs["pixel_values"])
        assert torch.equal(one.targets["labels"], two.targets["labels"])
        seen.append(one.inputs["pixel_values"].sum().item())
    alone.close()
    other.close()
    assert len(set(seen)) == 6


def test_least_squares_are_scikit_learn_s() -> None:
    images = np.stack([pixels(seed, 9, 10) for seed in range(40)])
    labels = np.arange(40) % 3
    found = Ridge(images.reshape(-1, 10, 3), labels, 40, classes=3, side=4, penalty=0.01)
    inputs = shrunk(images, 4).reshape(40, -1)
    theirs = SkRidge(alpha=0.01 * 40).fit(inputs, np.eye(3)[labels])
    for image, row in zip(images, inputs, strict=True):
        expected = np.clip(theirs.predict(row[None])[0], 0, 1)
        assert found.scores(image) == pytest.approx(expected, abs=1e-6)
    even = shrunk(images[:, :8, :8], 4)
    blocks = images[:, :8, :8].reshape(40, 4, 2, 4, 2, 3).mean((2, 4)) / 255
    np.testing.assert_allclose(even, blocks)
    assert shrunk(images, 100).shape == images.shape


def test_the_baselines_speak_like_the_task() -> None:
    rows = records(30)
    for row in rows:
        row["image"] = np.full((8, 8, 3), {"a": 10, "b": 120, "c": 240}[row["label"]], np.uint8)
    learned = task().learn(rows)
    examples = learned.encode_batch(rows)
    found = learned.baselines(Held(examples))
    assert set(found) == {"majority", "linear"}
    said = [found["linear"](example) for example in examples]
    truth = [learned.target(example)["label"] for example in examples]
    ends = [i for i, label in enumerate(truth) if label in "ac"]  # the middle is no extreme
    assert [said[i]["label"] for i in ends] == [truth[i] for i in ends]
    assert sum(said[0]["scores"].values()) == pytest.approx(1)


def test_the_top_k_are_scikit_learn_s() -> None:
    names = tuple("abcdefgh")
    rng = np.random.default_rng(0)
    scores, truth = rng.random((50, 8)), rng.integers(0, 8, 50)
    metric = TopKAccuracy(k=3, classes=names)
    rows = [
        metric.row({"scores": dict(zip(names, row.tolist(), strict=True))}, {"label": names[y]})
        for row, y in zip(scores, truth, strict=True)
    ]
    assert metric.label == "top-3-accuracy"
    expected = top_k_accuracy_score(truth, scores, k=3, labels=range(8))
    assert metric.reduce(np.array(rows)) == pytest.approx(expected)
    even = {"scores": dict.fromkeys(names, 0.5)}
    assert [metric.row(even, {"label": name}) for name in "acd"] == [(1.0,), (1.0,), (0.0,)]
    labels = [metric.label for metric in task().learn(records(classes="abcdef")).metrics()]
    assert labels == ["accuracy", "top-5-accuracy", "macro-f1", "auroc", "calibration-error"]


def test_the_confusion_matrix_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 4, (60, 2)).astype(np.float64)
    axes = Figure().subplots()
    assert F1(classes=("a", "b$", "c", "d")).draw(axes, rows)
    expected = confusion_matrix(rows[:, 1], rows[:, 0], normalize="true")
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), expected)
    assert sorted(text.get_text() for text in axes.texts) == sorted(
        str(n) for n in confusion_matrix(rows[:, 1], rows[:, 0]).ravel() if n
    )
    many = tuple(map(str, range(100)))
    assert F1(classes=many).draw(Figure().subplots(), rows)
    assert not F1(classes=many, average="micro").draw(axes, rows)
    assert not F1(classes=("a", "b")).draw(axes, np.zeros((3, 6)))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_example_is_drawn_with_what_was_said(channels: int) -> None:
    learned = task().learn(records(channels=channels))
    example = learned.encode_input(records(channels=channels)[0])
    axes = Figure().subplots()
    said = {"label": "a$b", "score": 0.9}
    assert learned.show(axes, example, said, {"label": "c"})
    assert (axes.get_title(), axes.get_xlabel()) == ("a$b", "is c")
    axes = Figure().subplots()
    assert learned.show(axes, example, said, None)
    assert not axes.get_xlabel()
    assert axes.get_title() == "a$b"
    assert learned.mistake(said, {"label": "c"}) == 0.9
    assert learned.mistake(said, {"label": "a$b"}) == 0.0


def test_records_with_images_are_recognised() -> None:
    rows = [
        {"picture": Media(f"{row}.png", to_png(pixels(row))), "kind": "ab"[row % 2], "id": row}
        for row in range(20)
    ]
    guess = ImageClassification.recognise(rows)
    assert guess is not None
    assert guess.fields == {"image": "picture", "label": "kind"}
    assert guess.model == {"name": "cnn"}
    large = [{**row, "picture": pixels(0, 100, 80)} for row in rows]
    found = ImageClassification.recognise(large)
    assert found is not None
    assert (found.model, found.task["image_size"]) == ({"name": "resnet"}, 128)
    Model.from_dict(found.model)
    assert task(**found.task).augmentations
    assert "flip" in guess.task["augmentations"]
    grey = [{**row, "picture": pixels(0)[..., :1]} for row in rows]  # digits have no mirror image
    assert (made := ImageClassification.recognise(grey)) is not None
    assert "flip" not in made.task["augmentations"]
    damaged = [{**row, "picture": Media("x", b"?")} for row in rows]
    assert ImageClassification.recognise(damaged) is None
    assert ImageClassification.recognise([{"text": "a b", "label": "c"}] * 20) is None
    assert ImageClassification.recognise([{"image": pixels(0)}] * 20) is None
    assert ImageClassification.recognise([]) is None


def test_few_images_are_seen_often_and_many_seldom() -> None:
    for rows, steps in ((20, 125), (100, 625), (1000, 1500)):
        records = [{"image": pixels(0, 100, 80), "label": row % 2} for row in range(rows)]
        guess = ImageClassification.recognise(records)
        assert guess is not None
        Stage.from_dict({"name": "train", **guess.train})
        assert guess.train["max_steps"] == steps
        assert 10 <= guess.train["eval_steps"] <= steps // 10


def test_base64_is_read_as_json_brings_it() -> None:
    learned = task().learn(records())
    text = base64.b64encode(to_png(pixels(1))).decode()
    assert learned.record_schema()["required"] == ["image"]
    for image in (text, f"data:image/png;base64,{text}"):
        np.testing.assert_array_equal(learned.encode_input({"image": image})["pixels"], pixels(1))
