"""The task against numpy, scikit-learn and itself: mixes, baselines, metrics, drawings."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import Ridge as SkRidge
from sklearn.metrics import confusion_matrix, top_k_accuracy_score
from torch import Tensor, nn

from luban.core.contracts import Model, Stage
from luban.core.errors import DataError
from luban.data.baselines.ridge import Ridge, shrunk
from luban.data.media.images import to_png
from luban.data.media.media_files import Media
from luban.data.views.in_memory import InMemoryExamples
from luban.engine.loader import Loader
from luban.init.recognition import recognise
from luban.mechanisms.plain import Plain
from luban.metrics.f1 import F1
from luban.metrics.top_k_accuracy import TopKAccuracy
from tests.tasks.toy_images import pixels, records, task


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
    view = learned.view(InMemoryExamples(examples), 0, 0)
    mix, model = view[3], Column().eval()
    batch = learned.collate([mix])
    share = float(mix["other_shares"][0])
    parts = [
        learned.loss(model, learned.collate([{"pixels": mix["pixels"], "label": label}])).sums
        for label in (mix["label"], mix["other_labels"][0])
    ]
    expected = (1 - share) * parts[0] + share * parts[1]
    torch.testing.assert_close(learned.loss(model, batch).sums, expected)
    assert learned.view(InMemoryExamples(examples), None, 0)[3].keys() == {"pixels", "label"}


def test_whole_and_mixed_examples_share_a_batch() -> None:
    rows = records()
    fields = [{"name": "mixup", "probability": 0.5}, "flip"]
    learned = task(augmentations=fields, class_weights="balanced").learn(rows)
    view = learned.view(InMemoryExamples(learned.encode_batch(rows)), 0, 0)
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
    assert learned.signature().problem == "multi_label_classification"
    assert learned.metrics()[0].label == "macro-f1"
    view = learned.view(InMemoryExamples(learned.encode_batch(rows)), 0, 0)
    targets = learned.collate([view[row] for row in range(12)]).targets["labels"]
    assert targets.shape == (12, 3)
    assert 0 <= targets.min() <= targets.max() <= 1
    wrong = {"labels": ["x"], "scores": {"x": 0.9, "y": 0.2, "z": 0.1}}
    assert learned.mistake(wrong, {"labels": ["y"]}) == pytest.approx(0.9)
    assert learned.mistake(wrong, {"labels": ["x"]}) == 0


def test_images_without_labels_ask_for_folders() -> None:
    rows = [{name: value for name, value in row.items() if name != "label"} for row in records()]
    with pytest.raises(DataError, match="lay the files into folders, two or more"):
        task().learn(rows)


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
    store = InMemoryExamples(learned.encode_batch(rows))

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
    found = learned.baselines(InMemoryExamples(examples))
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
        metric.statistics(
            {"scores": dict(zip(names, row.tolist(), strict=True))}, {"label": names[y]}
        )
        for row, y in zip(scores, truth, strict=True)
    ]
    assert metric.label == "top-3-accuracy"
    expected = top_k_accuracy_score(truth, scores, k=3, labels=range(8))
    assert metric.compute(np.array(rows)) == pytest.approx(expected)
    even = {"scores": dict.fromkeys(names, 0.5)}
    assert [metric.statistics(even, {"label": name}) for name in "acd"] == [(1.0,), (1.0,), (0.0,)]
    labels = [metric.label for metric in task().learn(records(classes="abcdef")).metrics()]
    assert labels == ["accuracy", "top-5-accuracy", "macro-f1", "auroc", "calibration-error"]


def test_the_confusion_matrix_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 4, (60, 2)).astype(np.float64)
    axes = Figure().subplots()
    assert F1(classes=("a", "b$", "c", "d")).plot(axes, rows)
    expected = confusion_matrix(rows[:, 1], rows[:, 0], normalize="true")
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), expected)
    assert sorted(text.get_text() for text in axes.texts) == sorted(
        str(n) for n in confusion_matrix(rows[:, 1], rows[:, 0]).ravel() if n
    )
    many = tuple(map(str, range(100)))
    assert F1(classes=many).plot(Figure().subplots(), rows)
    assert not F1(classes=many, average="micro").plot(axes, rows)
    assert not F1(classes=("a", "b")).plot(axes, np.zeros((3, 6)))


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
    guess = recognise("image-classification", rows)
    assert guess is not None
    assert guess.fields == {"image": "picture", "label": "kind"}
    assert guess.model == {"name": "cnn"}
    large = [{**row, "picture": pixels(0, 100, 80)} for row in rows]
    found = recognise("image-classification", large)
    assert found is not None
    assert (found.model, found.task["image_size"]) == ({"name": "resnet"}, 128)
    Model.from_dict(found.model)
    assert task(**found.task).augmentations
    assert "flip" in guess.task["augmentations"]
    grey = [{**row, "picture": pixels(0)[..., :1]} for row in rows]  # digits have no mirror image
    assert (made := recognise("image-classification", grey)) is not None
    assert "flip" not in made.task["augmentations"]
    damaged = [{**row, "picture": Media("x", b"?")} for row in rows]
    assert recognise("image-classification", damaged) is None
    assert recognise("image-classification", [{"text": "a b", "label": "c"}] * 20) is None
    assert recognise("image-classification", [{"image": pixels(0)}] * 20) is None
    assert recognise("image-classification", []) is None


def test_few_images_are_seen_often_and_many_seldom() -> None:
    for rows, steps in ((20, 125), (100, 625), (1000, 1500)):
        records = [{"image": pixels(0, 100, 80), "label": row % 2} for row in range(rows)]
        guess = recognise("image-classification", records)
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
