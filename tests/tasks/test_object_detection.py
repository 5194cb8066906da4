"""Objects come back where they were, whatever the size of the image; bad records are named."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from luban.core.contracts import AugmentationContext, Model, Record, Stage, Task
from luban.core.errors import DataError, LubanError, RecipeError, UnfitError, UnreadableError
from luban.data.augmentations.flip import Flip
from luban.data.augmentations.random_crop import RandomCrop
from luban.data.augmentations.random_resized_crop import RandomResizedCrop
from luban.data.augmentations.scale_jitter import ScaleJitter
from luban.data.cleaners.boxes import Boxes
from luban.data.media.images import to_png
from luban.data.sources.coco import Coco
from luban.data.views.in_memory import InMemoryExamples
from luban.init.recognition import recognise
from luban.nn.detection import assign, places
from luban.tasks.object_detection import ObjectDetection

STRIDES = (8, 16, 32)
SHAPES = [(64, 96), (96, 64), (200, 120), (64, 64)]


def scene(seed: int, size: tuple[int, int]) -> Record:
    """Return a grey image with one to three coloured rectangles, and where they are."""
    rng = np.random.default_rng(seed)
    pixels = np.full((*size, 3), 120, np.uint8)
    objects = []
    for number in range(1 + seed % 3):
        side = rng.integers(16, 30, 2)
        x, y = (
            int(rng.integers(0, length - s))
            for length, s in zip(size[::-1], side[::-1], strict=True)
        )
        box = [x, y, x + int(side[1]), y + int(side[0])]
        pixels[box[1] : box[3], box[0] : box[2]] = [250 * (number == c) for c in range(3)]
        objects.append({"label": "rgb"[number], "box": box})
    return {"image": pixels, "objects": objects, "_where": f"scene:{seed}"}


SCENES = [scene(seed, SHAPES[seed % len(SHAPES)]) for seed in range(8)]


class Oracle(nn.Module):
    """A head that says what the targets of a batch are."""

    def __init__(self, boxes: Tensor, labels: Tensor, classes: int) -> None:
        super().__init__()
        self.boxes, self.labels, self.classes = boxes, labels, classes
        self.weight = nn.Parameter(torch.zeros(1))

    def places(self, size: tuple[int, int]) -> Tensor:
        return places(size, STRIDES)

    def forward(self, pixel_values: Tensor) -> Tensor:
        where = self.places((pixel_values.shape[2], pixel_values.shape[3]))
        number = assign(where, self.boxes, self.labels)
        said = torch.full((*number.shape, self.classes + 5), -9.0)
        said[..., -5:-1] = 1.0
        for row, place in (number >= 0).nonzero().tolist():
            x1, y1, x2, y2 = self.boxes[row, number[row, place]].tolist()
            x, y, _ = where[place].tolist()
            said[row, place, self.labels[row, number[row, place]]] = 5.0
            said[row, place, -5:-1] = torch.tensor([x - x1, y - y1, x2 - x, y2 - y])
            said[row, place, -1] = 5.0
        return said


@pytest.mark.parametrize("resize", ["pad", "stretch"])
@pytest.mark.parametrize("size", [(64, 64), (80, 160)])
def test_boxes_return_to_the_image_they_came_from(resize: Any, size: Any) -> None:
    task = ObjectDetection(image_size=size, resize=resize).learn(SCENES)
    assert task.signature().labels == ("b", "g", "r")
    assert task.signature().size == size
    examples = task.encode_batch(SCENES)
    batch = task.collate(examples)
    oracle = Oracle(batch.targets["boxes"], batch.targets["labels"], 3)
    predictions = task.predict(oracle, batch)
    for record, example, prediction in zip(SCENES, examples, predictions, strict=True):
        height, width = record["image"].shape[:2]
        assert (prediction["height"], prediction["width"]) == (height, width)
        target = task.target(example)
        assert [one["label"] for one in target["objects"]] == [
            one["label"] for one in record["objects"]
        ]
        for one, original in zip(target["objects"], record["objects"], strict=True):
            np.testing.assert_allclose(one["box"], original["box"], atol=0.011)
        known = {(one["label"], *one["box"]) for one in target["objects"]}
        found = {(one["label"], *one["box"]) for one in prediction["objects"]}
        for label, *box in found:
            off = [np.abs(np.subtract(box, true)).max() for name, *true in known if name == label]
            assert min(off) < 0.03
        assert task.mistake(prediction, target) <= 1 - len(found) / len(known) + 1e-9
    headline = task.metrics()[0]
    pairs = zip(predictions, map(task.target, examples), strict=True)
    assert headline.compute(np.asarray([headline.statistics(*pair) for pair in pairs])) > 0.9


def test_pixels_under_a_box_are_the_object_in_every_augmented_view() -> None:
    chosen = (
        Flip(),
        Flip(direction="vertical"),
        RandomCrop(padding=9),
        ScaleJitter(),
        RandomResizedCrop(scale=(0.4, 1)),
    )
    task = ObjectDetection(image_size=(64, 96), augmentations=chosen).learn(SCENES)
    store = InMemoryExamples(task.encode_batch(SCENES))
    seen = 0
    for epoch in range(6):
        for example in task.view(store, epoch, 0):
            assert example["boxes"].dtype == np.float32
            assert len(example["boxes"]) == len(example["labels"])
            for (x1, y1, x2, y2), label in zip(example["boxes"], example["labels"], strict=True):
                assert 0 <= x1 < x2 <= 96
                assert 0 <= y1 < y2 <= 64
                x, y = int((x1 + x2) / 2), int((y1 + y2) / 2)
                pixel = example["pixels"][y, x].astype(int)
                channel = "rgb".index(task.signature().labels[label])
                hidden = pixel[channel] < 200  # by a later rectangle
                assert hidden or pixel.argmax() == channel
                seen += not hidden
    assert seen > 60
    assert all(len(store[i]["labels"]) == len(SCENES[i]["objects"]) for i in range(len(SCENES)))


@pytest.mark.parametrize(
    "augmentation", [ScaleJitter(scale=(1.0, 3.0)), RandomCrop(padding=60), RandomResizedCrop()]
)
def test_what_is_cut_away_is_no_longer_told(augmentation: Any) -> None:
    box = np.array([[1.0, 1, 9, 9], [30, 20, 60, 50]], np.float32)
    example: Any = {"pixels": np.zeros((64, 64, 3), np.uint8), "boxes": box, "labels": np.arange(2)}
    left = set()
    for seed in range(40):
        made = augmentation.apply(
            example, AugmentationContext(np.random.default_rng(seed), lambda: example)
        )
        left.add(tuple(made["labels"].tolist()))
    assert {(0, 1), (1,)} <= left
    assert {len(labels) for labels in left} > {1}


def test_a_view_and_what_a_record_lacks() -> None:
    task = ObjectDetection(image_size=64).learn(SCENES)
    bare = task.encode_input({"image": SCENES[0]["image"]})
    assert set(bare) == {"pixels", "size"}
    batch = task.collate([bare])
    assert set(batch.targets) == {"sizes"}
    torch.manual_seed(0)
    module = Model.from_dict({"name": "fcos", "embedding_size": 8, "pyramid_size": 8}).build(
        task.signature()
    )
    (found,) = task.predict(module.eval(), batch)
    assert (found["height"], found["width"]) == SCENES[0]["image"].shape[:2]
    assert task.record_schema()["required"] == ["image"]


GOOD = {"label": "r", "box": [1, 2, 30, 40]}


@pytest.mark.parametrize(
    ("objects", "what"),
    [
        (None, "no objects"),
        ("r", "no objects"),
        ([{"box": [1, 2, 3, 4]}], "has no label"),
        ([{"label": "r"}], "not four numbers"),
        ([{"label": "r", "box": [1, 2, 3]}], "not four numbers"),
        ([{"label": "r", "box": [1, 2, "3", 4]}], "not four numbers"),
        ([{"label": "r", "box": [3, 2, 3, 9]}], "has no area"),
        ([{"label": "r", "box": [9, 2, 3, 9]}], "has no area"),
        ([{"label": "r", "box": [1, 2, float("nan"), 9]}], "has no area"),
        ([{"label": "r", "box": [1, 2, 900, 9]}], "outside its image"),
        ([GOOD, {"label": "red", "box": [1, 2, 3, 4]}], "does not occur"),
    ],
)
def test_bad_objects_are_told_by_record(objects: Any, what: str) -> None:
    task = ObjectDetection(image_size=64).learn(SCENES)
    record = {**SCENES[0], "objects": objects, "_where": "pictures/a.png"}
    with pytest.raises(DataError, match=what) as caught:
        task.encode(record)
    assert "pictures/a.png" in str(caught.value)


def test_a_box_may_jut_out_by_a_pixel() -> None:
    task = ObjectDetection(image_size=(64, 96)).learn(SCENES)
    record = {**scene(0, (64, 96)), "objects": [{"label": "r", "box": [-1, -0.5, 97, 64]}]}
    assert task.encode(record)["boxes"].tolist() == [[0, 0, 96, 64]]


def test_what_was_annotated_lying_is_set_apart(tmp_path: Path) -> None:
    record = SCENES[0]
    height, width = record["image"].shape[:2]
    assert height != width
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned by a quarter
    lying = Image.fromarray(record["image"]).transpose(Image.Transpose.ROTATE_90)
    lying.save(tmp_path / "a.png", exif=exif)
    notes = [
        {"id": n, "image_id": 0, "category_id": 0, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for n, (x1, y1, x2, y2) in enumerate(one["box"] for one in record["objects"])
    ]

    def read(width: int, height: int) -> Record:
        table = {
            "images": [{"id": 0, "file_name": "a.png", "width": width, "height": height}],
            "annotations": notes,
            "categories": [{"id": 0, "name": "r"}],
        }
        (tmp_path / "a.json").write_text(json.dumps(table))
        (found,) = Coco(path=str(tmp_path / "a.json")).read("train")
        return found

    task = ObjectDetection(image_size=(64, 64)).learn(SCENES)
    upright = task.encode(read(width, height))
    np.testing.assert_array_equal(upright["pixels"], task.encode(record)["pixels"])
    np.testing.assert_allclose(upright["boxes"], task.encode(record)["boxes"])
    with pytest.raises(UnfitError, match="lying on its side"):
        task.encode(read(height, width))


def test_damaged_images_and_data_without_objects() -> None:
    task = ObjectDetection(image_size=64).learn(SCENES)
    cut = base64.b64encode(to_png(np.zeros((9, 9, 3), np.uint8))[:40]).decode()
    with pytest.raises(UnreadableError):
        task.encode({"image": cut, "objects": []})
    with pytest.raises(LubanError, match="no image"):
        task.encode({"objects": []})
    with pytest.raises(DataError, match="no object in the training records"):
        ObjectDetection().learn([{**record, "objects": []} for record in SCENES])


def test_augmentations_that_lose_boxes_are_refused() -> None:
    fields = {"name": "object-detection", "augmentations": ["rand-augment"]}
    with pytest.raises(RecipeError, match="rand-augment moves images, but not their boxes"):
        ObjectDetection.from_dict(fields)


def test_what_was_learned_comes_back(tmp_path: Path) -> None:
    task = ObjectDetection().learn(SCENES)
    batch = task.collate(task.encode_batch(SCENES))
    oracle = Oracle(batch.targets["boxes"], batch.targets["labels"], 3)
    tuned = task.calibrate(oracle, [batch])
    tuned.save(tmp_path)
    loaded = ObjectDetection().load(tmp_path)
    assert loaded.signature() == task.signature()
    assert loaded._sure == tuned._sure == 0.5, "nothing is better than what is never wrong"
    examples = loaded.encode_batch(SCENES)
    groups = loaded.view(InMemoryExamples(examples), 0, 0).groups
    counts = dict(zip("bgr", loaded._counts, strict=True))
    assert groups is not None
    for example, group in zip(examples, groups, strict=True):
        names = [loaded.signature().labels[label] for label in example["labels"]]
        assert counts[loaded.signature().labels[group]] == min(counts[name] for name in names)
    assert loaded.target_summary(examples[2]).count == 3


def test_it_is_recognised_and_shown() -> None:
    from matplotlib.figure import Figure

    guess = recognise("object-detection", [{**s, "image": s["image"]} for s in SCENES])
    assert guess is not None
    assert guess.model["name"] == "fcos"
    made = Task.from_dict({"name": "object-detection", **guess.task})
    assert isinstance(made, ObjectDetection)
    assert made.image_size == (80, 80)
    assert Stage.from_dict({"name": "train", **guess.train}).result_fields()["max_steps"] == 200
    wide = [{"image": np.zeros((600, 1200, 3), np.uint8), "objects": []}] * 9
    assert (found := recognise("object-detection", wide)) is not None
    assert found.task["image_size"] == [160, 320]
    assert recognise("object-detection", [{"text": "a", "objects": []}]) is None
    assert recognise("object-detection", [{"image": SCENES[0]["image"], "objects": 3}]) is None
    task = ObjectDetection(image_size=64).learn(SCENES)
    example = task.encode(SCENES[2])
    (baseline,) = task.baselines(InMemoryExamples(task.encode_batch(SCENES))).values()
    axes = Figure().subplots()
    target = task.target(example)
    prediction = {
        **baseline(example),
        "objects": [{**one, "score": 0.9} for one in target["objects"]],
    }
    assert task.show(axes, example, prediction, target)
    assert len(axes.patches) == 6
    assert task.mistake(prediction, target) == 0
    assert task.mistake({**prediction, "objects": []}, target) == 1


def test_the_cleaner_drops_boxes_without_area() -> None:
    from luban.core.contracts import Tally

    wrong = {"label": "r", "box": [5, 5, 5, 9]}
    record = {**SCENES[0], "objects": [GOOD, wrong, {"label": "g", "box": [0, 0, 2, 30]}]}
    tally = Tally()
    (kept,) = Boxes().clean([record], tally)
    assert kept["objects"] == [GOOD, record["objects"][2]]
    assert tally.counts == {"empty boxes dropped": 1}
    (kept,) = Boxes(min_side=3).clean([record], Tally())
    assert kept["objects"] == [GOOD]
    assert len(record["objects"]) == 3


@pytest.mark.parametrize("mark", ["crowd", "difficult"])
def test_marked_objects_are_kept_for_measuring_and_teach_nothing(mark: str) -> None:
    crowd = {"label": "b", "box": [0, 0, 40, 40], mark: True}
    other = {"label": "people", "box": [0, 0, 9, 9], mark: True}
    marked = [{**one, "objects": [*one["objects"], crowd, other]} for one in SCENES]
    chosen = (Flip(probability=1.0), ScaleJitter(probability=1.0))
    plain = ObjectDetection(image_size=64).learn(SCENES)
    task = ObjectDetection(image_size=64, augmentations=chosen).learn(marked)
    assert task.signature() == plain.signature()
    assert task._counts == plain._counts
    examples = task.encode_batch(marked)
    for example, record in zip(examples, SCENES, strict=True):
        found = task.target(example)["objects"]
        assert [one for one in found if one.get(mark)] == [crowd]
        assert len(found) == len(record["objects"]) + 1
        assert task.target_summary(example).count == len(record["objects"])
        best = task.reachable(example)
        assert not any(mark in one for one in best["objects"])
        assert task.mistake({**best, "objects": best["objects"]}, task.target(example)) < 1
    store, unmarked = (
        InMemoryExamples(examples),
        InMemoryExamples(plain.encode_batch(SCENES)),
    )
    groups = task.view(store, 0, 0).groups, plain.view(unmarked, 0, 0).groups
    assert groups[0] is not None
    np.testing.assert_array_equal(*groups)
    boxes = [
        one.baselines(some)["mean-boxes"](examples[0])
        for one, some in ((task, store), (plain, unmarked))
    ]
    assert boxes[0] == boxes[1]
    for example in task.view(store, 0, 0):
        assert len(example["boxes"]) == len(example["labels"]) == len(example["crowds"])
    with pytest.raises(DataError, match="crowd and difficult are true or false"):
        task.encode({**SCENES[0], "objects": [{**crowd, mark: 1}]})


def test_what_is_shown_is_what_is_sure_enough() -> None:
    """Of objects found right at .6 and wrong at .4, validation data choose a bound between."""
    task = ObjectDetection(image_size=64).learn(SCENES)
    boxes = {"a": [0, 0, 9, 9], "b": [20, 20, 40, 40]}
    said = {
        "objects": [
            {"label": "r", "score": s, "box": boxes[n]} for n, s in (("b", 0.3), ("a", 0.1))
        ]
    }
    assert task.reported(said)["objects"] == []
    assert task.replace(display_threshold=0.2).reported(said)["objects"] == said["objects"][:1]
    assert task.replace(display_threshold=0.0).reported(said) == said
    batch = task.collate(task.encode_batch(SCENES))
    oracle = Oracle(batch.targets["boxes"], batch.targets["labels"], 3)

    class Shy(nn.Module):
        """Says the same, with scores of about a third at best, and chances beside it."""

        places = staticmethod(oracle.places)

        def forward(self, pixel_values: Tensor) -> Tensor:
            found: Tensor = oracle(pixel_values)
            sure = found[..., :-5] > 0
            found[..., :-5] = torch.where(sure, -1.0, -3.0)
            found[..., -1] = torch.where(sure.any(-1), -1.0, -2.0)
            return found

    shy = Shy()
    tuned = task.calibrate(shy, [batch])
    assert 0.05 < tuned._sure < 0.3
    for prediction, record in zip(tuned.predict(shy, batch), SCENES, strict=True):
        assert len(prediction["objects"]) > len(record["objects"])
        assert 0 < len(tuned.reported(prediction)["objects"]) <= len(record["objects"])
        assert task.reported(prediction)["objects"] == []
