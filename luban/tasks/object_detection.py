"""Find the objects in an image: what each is, and the box around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import torch
from pydantic import Field, PrivateAttr, field_validator
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import (
    Augmentation,
    Baseline,
    Example,
    Examples,
    Illustrated,
    Metric,
    Product,
    Record,
    Signature,
    TargetSummary,
    View,
)
from luban.core.errors import DataError
from luban.core.files import write_json
from luban.data.checks.set_apart import made_of
from luban.data.media.images import Placement, decode, fit, place
from luban.data.media.preprocessor import Sample
from luban.metrics._detections import counted, matches
from luban.metrics.mean_average_precision import MeanAveragePrecision
from luban.nn.boxes import suppress
from luban.nn.detection import decoded
from luban.nn.detection_loss import detection_loss
from luban.tasks.answers.calibration import HALF, best_detection_threshold
from luban.tasks.answers.objects import (
    check_upright,
    inside,
    moved,
    moved_back,
    numbered,
    objects_of,
    plot_objects,
    said,
    there,
)
from luban.tasks.inputs.images import SAMPLE, ImageTask, image_of
from luban.tasks.parts.exports import Detector, images, meaning, places_of
from luban.tasks.parts.learned_files import read_learned

Array: TypeAlias = "np.ndarray[Any, Any]"

_FILE = "objects.json"
_CANDIDATES = 1000  #: most places of an image that are looked at, the best ones
_EACH = 20  #: with no more classes than this, each has its own figure
_HALF = np.array([0.5])
LEAST_SIDE = 0.005  #: pixels of the image; a box that is thinner lies outside of it
_NO_CLASS = "transformers has no class for this detector"


class ObjectDetection(ImageTask, Illustrated):
    """Any number of objects of known classes; images without objects teach too.

    Records have ``objects``: a list of ``{"label", "box": [x1, y1, x2, y2]}`` in pixels of the
    image. Boxes go along when the image is brought to one size, and back in predictions.
    """

    adjustable: ClassVar[Mapping[str, tuple[float, float]]] = {
        "score_threshold": (0, 0.999),
        "nms_threshold": (0.001, 1),
        "max_detections": (1, 1000),
    }

    resize: Literal["pad", "stretch"] = Field(
        default="pad", description="How an image of other proportions fits: all of it is kept."
    )
    focal_alpha: float = Field(default=0.25, gt=0, lt=1, description="Weight of yes beside no.")
    focal_gamma: float = Field(
        default=2.0, ge=0, description="Let places that are already right count less."
    )
    box_weight: float = Field(default=2.0, gt=0, description="Of the box beside the class.")
    center_radius: float = Field(
        default=1.5, gt=0, description="Strides from its centre within which places find a box."
    )
    score_threshold: float = Field(
        default=0.05, ge=0, lt=1, description="Objects less sure than this are not measured either."
    )
    display_threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Objects less sure than this are not shown by `predict` and the server. "
        "None: the threshold of the best F1 on validation data.",
    )
    nms_threshold: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Of two boxes of one class that overlap more (IoU), the better stays.",
    )
    max_detections: int = Field(default=100, ge=1, le=100_000, description="Objects of an image.")
    _names: tuple[str, ...] = PrivateAttr(default=())
    _counts: tuple[int, ...] = PrivateAttr(default=())
    _sure: float = PrivateAttr(default=HALF)

    @field_validator("augmentations")
    @classmethod
    def _keep_boxes(cls, augmentations: tuple[Augmentation, ...]) -> tuple[Augmentation, ...]:
        for one in augmentations:
            if not one.keeps_boxes:
                raise ValueError(f"{one.name} moves images, but not their boxes")
        return augmentations

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with the classes, size and normalisation of the training records.

        Raises:
            DataError: if there is no object at all, or no record is as it should be.
        """
        counts: Counter[str] = Counter()
        sample = Sample(SAMPLE)
        for image, (labels, _, crowds) in made_of(records, lambda r: (image_of(r), objects_of(r))):
            sample.see(image)
            counts.update(name for name, crowd in zip(labels, crowds, strict=True) if not crowd)
        if not counts:
            raise DataError(
                "there is no object in the training records.",
                where="objects",
                fix="check the field `objects`, and how the data are split.",
            )
        task = self.learn_image_traits(sample.kept)
        task._look = replace(task._look, resize=self.resize, crop_pct=1.0)
        task._names = tuple(sorted(counts))
        task._counts = tuple(counts[name] for name in task._names)
        return task

    def save(self, folder: Path) -> None:
        """Write size and normalisation, classes, and from which score on objects are shown."""
        super().save(folder)
        data = {"names": self._names, "counts": self._counts, "sure": self._sure}
        write_json(folder / _FILE, data)

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        task = super().load(folder)
        names, counts, task._sure = read_learned(folder / _FILE, "names", "counts", "sure")
        task._names, task._counts = tuple(names), tuple(counts)
        return task

    def signature(self) -> Signature:
        """Return channels, size and classes."""
        return Signature(
            "pixels",
            self._look.channels,
            len(self._names),
            produces="boxes",
            labels=self._names,
            size=self._look.size,
        )

    def encode(self, record: Record) -> Example:
        """Return pixels, the image's own height and width, and boxes within the pixels.

        Raises:
            DataError: if image or objects are missing or wrong.
            UnfitError: if the image is damaged or was annotated at another size, or a box lies
                outside it.
        """
        labels, boxes, crowds = objects_of(record)
        known = [not c or n in self._names for n, c in zip(labels, crowds, strict=True)]
        labels, boxes, crowds = list(compress(labels, known)), boxes[known], crowds[known]
        numbers = numbered(record, labels, self._names)
        example = self.encode_input(record)
        height, width = example["size"].tolist()
        check_upright(record, (height, width))
        boxes = moved(inside(record, boxes, (height, width)), self._placement((height, width)))
        return {**example, "boxes": boxes.astype(np.float32), "labels": numbers, "crowds": crowds}

    def encode_input(self, record: Record) -> Example:
        """Return pixels, and the height and width that the image had.

        Raises:
            DataError: if there is no image.
            UnreadableError: if it is damaged.
        """
        pixels = decode(image_of(record)[0], self._look.channels, str(record.get("_where", "")))
        size = np.array(pixels.shape[:2], np.int32)
        fitted = fit(pixels, self._look.size, self.resize, resample=self._look.resample)
        return {"pixels": fitted, "size": size}

    def target_summary(self, example: Example) -> TargetSummary:
        """An image teaches as many times as it has objects, and at least once."""
        return TargetSummary(count=max(1, int((example["crowds"] == 0).sum())))

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return the images, in groups by the rarest class in each."""
        return super().view(store, epoch, seed).knowing(groups=lambda: self._rarest(store))

    def _rarest(self, store: Examples) -> Array:
        """Return the rarest class in each image; the number of classes where there is none."""
        rank = np.argsort(np.argsort(self._counts, kind="stable"))
        ends = np.cumsum(store.lengths("labels"))
        labels, crowds = np.asarray(store.flat("labels")), np.asarray(store.flat("crowds"))
        images = np.split(np.where(crowds, -1, labels), ends[:-1])
        rarest = [min(one[one >= 0], key=lambda label: rank[label], default=-1) for one in images]
        found = np.array(rarest, np.int64)
        return np.where(found < 0, len(self._names), found)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Stack images; boxes (B, N, 4) and labels (B, N) are filled up, labels with -1."""
        sizes = np.stack([example["size"] for example in examples])
        targets = {"sizes": torch.from_numpy(sizes)}
        if "boxes" in examples[0]:
            most = max(len(example["labels"]) for example in examples)
            boxes = np.zeros((len(examples), most, 4), np.float32)
            labels = np.full((len(examples), most), -1)
            crowds = np.zeros((len(examples), most), np.uint8)
            for row, example in enumerate(examples):
                boxes[row, : len(example["labels"])] = example["boxes"]
                labels[row, : len(example["labels"])] = example["labels"]
                crowds[row, : len(example["labels"])] = example["crowds"]
            arrays = {"boxes": boxes, "labels": labels, "crowds": crowds}
            targets |= {name: torch.from_numpy(array) for name, array in arrays.items()}
        return Batch({"pixel_values": self.pixel_values(examples)}, targets)

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return focal loss, GIoU and quality, summed over the places of each image."""
        return detection_loss(
            model(**batch.inputs),
            self._places(model, batch),
            batch.targets["boxes"],
            batch.targets["labels"],
            alpha=self.focal_alpha,
            gamma=self.focal_gamma,
            box_weight=self.box_weight,
            radius=self.center_radius,
            crowds=batch.targets["crowds"] > 0,
        )

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return ``{"objects": [{"label", "score", "box"}, …], "width", "height"}``, best first.

        The score is the root of the chance of the class times that of the box being good.
        """
        boxes, scores = decoded(model(**batch.inputs), self._places(model, batch))
        sizes = batch.targets["sizes"].tolist()
        return [self._best(*one) for one in zip(boxes, scores, sizes, strict=True)]

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return a program that gives boxes and scores; what is left is to choose among them."""
        size = self._look.size
        program = Detector(model, size, places_of(model, size))
        choosing = {
            "labels": list(self._names),
            "boxes": "x1, y1, x2, y2 of each place, in pixels of what the model sees; subtract "
            "where the image was laid, divide by how it was scaled, then cut at its edges",
            "scores": "of each place and label, 0 to 1",
            "candidates": _CANDIDATES,
            "score_threshold": self.score_threshold,
            "least_side": LEAST_SIDE,
            "nms_threshold": self.nms_threshold,
            "max_detections": self.max_detections,
            "display_threshold": self._least,
            "rule": "of all pairs of place and label the best `candidates`; those that reach "
            "score_threshold, and whose box in the image is wider and higher than least_side "
            "pixels; suppression within each label: from the best down, a box goes if its overlap "
            "(IoU) with a better one that stayed is above nms_threshold; of the best "
            "max_detections those that reach display_threshold",
        }
        said = meaning(self.name, images(self._look), choosing)
        sample = Batch(dict(batch.inputs), {})
        return Product(program, sample, ("boxes", "scores"), said, beyond=_NO_CLASS)

    def target(self, example: Example) -> Any:
        """Return ``{"objects": [{"label", "box"}, …], "width", "height"}``."""
        boxes, labels, crowds = (example[name] for name in _GOALS)
        return self._target(boxes, labels, crowds, example["size"].tolist())

    def reachable(self, example: Example) -> Any:
        """Return the boxes of the example, entirely sure, as far as ``predict`` would tell them.

        What overlaps another box of its class too much is left out, and so is what is too many.
        """
        single = example["crowds"] == 0
        boxes, labels = (torch.from_numpy(example[name][single]) for name in _GOALS[:2])
        sure = torch.zeros(len(labels), len(self._names))
        sure[torch.arange(len(labels)), labels] = 1.0
        return self._best(boxes, sure, example["size"].tolist())

    def metrics(self) -> tuple[Metric, ...]:
        """Return mAP at an overlap of .5 first, then from .5 to .95, then that of each class."""
        made = MeanAveragePrecision(classes=self._names, max_detections=self.max_detections)
        each = self._names if 1 < len(self._names) <= _EACH else ()
        return (
            made,
            made.replace(overlap="50-95"),
            *(made.replace(only=name) for name in each),
        )

    def calibrate(self, model: nn.Module, batches: Iterable[Batch]) -> Self:
        """Return this task with the score from which on objects are shown: that of the best F1."""
        images: list[tuple[Array, Array, int]] = []  # scores, right ones, objects there
        for batch in batches:
            goals = (batch.targets[name].numpy(force=True) for name in (*_GOALS, "sizes"))
            rows = zip(self.predict(model, batch), *goals, strict=True)
            for prediction, boxes, labels, crowds, size in rows:
                real = labels >= 0
                target = self._target(boxes[real], labels[real], crowds[real], size.tolist())
                found = prediction["objects"]
                right, ignored = matches(found, target["objects"], _HALF)
                counts = ~ignored[0]
                scores = np.array([one["score"] for one in found], np.float64)
                single = sum(map(counted, target["objects"]))
                images.append((scores[counts], right[0][counts], single))

        task = self.model_copy()
        task._sure = best_detection_threshold(images)
        return task

    def reported(self, prediction: Any) -> Any:
        """Return a prediction with the objects that are sure enough to be shown."""
        sure = [one for one in prediction["objects"] if one["score"] >= self._least]
        return {**prediction, "objects": sure}

    @property
    def _least(self) -> float:
        return self._sure if self.display_threshold is None else self.display_threshold

    def show(self, axes: Any, example: Example, prediction: Any, target: Any) -> bool:
        """Draw the image, what was found with some sureness, and dashed what is there."""
        size = (prediction["height"], prediction["width"])
        where = self._placement(size)
        things = [*(target["objects"] if target else ()), *self.reported(prediction)["objects"]]
        plot_objects(axes, example["pixels"], where, self._names, things)
        (left, top, right, bottom) = moved(np.array([0, 0, *size[::-1]]), where)
        axes.set(xlim=(left - 0.5, right - 0.5), ylim=(bottom - 0.5, top - 0.5))
        return True

    def mistake(self, prediction: Any, target: Any) -> float:
        """Return the share of objects missed or invented among all that are there or told."""
        told, single = self.reported(prediction)["objects"], target["objects"]
        right, ignored = (int(found.sum()) for found in matches(told, single, _HALF))
        every = len(told) - ignored + sum(map(counted, single))
        return 1 - 2 * right / every if every else 0.0

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return the mean box of each class, as sure as the class is frequent."""
        single = np.asarray(train.flat("crowds")) == 0
        boxes, labels = (np.asarray(train.flat(name))[single] for name in ("boxes", "labels"))
        shares = np.bincount(labels, minlength=len(self._names)) / len(labels)
        means = np.stack([boxes[labels == number].mean(0) for number in range(len(self._names))])
        order = np.argsort(-shares, kind="stable")

        def mean_boxes(example: Example) -> Any:
            size = tuple(example["size"].tolist())
            back = moved_back(means[order], self._placement(size))
            names = [self._names[number] for number in order]
            return said(back, names, size, shares[order].tolist())

        return {"mean-boxes": mean_boxes}

    def _placement(self, size: Sequence[int]) -> Placement:
        return place((size[0], size[1]), self._look.size, self.resize)

    def _places(self, model: nn.Module, batch: Batch) -> Tensor:
        height, width = batch.inputs["pixel_values"].shape[-2:]
        where: Tensor = model.places((height, width))  # type: ignore[operator]
        return where.to(batch.inputs["pixel_values"].device)

    def _target(
        self, boxes: Array, labels: Array, crowds: Array, size: Sequence[int]
    ) -> dict[str, Any]:
        back = moved_back(boxes.astype(np.float64), self._placement(size))
        return there(back, [self._names[label] for label in labels], (size[0], size[1]), crowds)

    def _best(self, boxes: Tensor, scores: Tensor, size: Sequence[int]) -> dict[str, Any]:
        """Return the objects of an image: sure enough, and no two the same."""
        flat, (height, width) = scores.flatten(), (size[0], size[1])
        best, at = flat.topk(min(_CANDIDATES, len(flat)))
        at = at[best >= self.score_threshold]
        chosen, labels = at // scores.shape[1], at % scores.shape[1]
        back = moved_back(boxes[chosen].double().numpy(force=True), self._placement(size))
        back = back.clip(0, [width, height, width, height])
        left = (back[:, 2:] - back[:, :2] > LEAST_SIDE).all(1)  # what lies outside is gone
        back, at, labels = back[left], at[left], labels[left]
        stays = suppress(torch.from_numpy(back), flat[at].cpu(), labels.cpu(), self.nms_threshold)
        stays = stays[: self.max_detections]
        names = [self._names[number] for number in labels.cpu()[stays].tolist()]
        return said(back[stays.numpy()], names, (height, width), flat[at].cpu()[stays].tolist())


_GOALS = ("boxes", "labels", "crowds")
