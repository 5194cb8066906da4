"""Tell which class, or which of several labels, an image has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from luban.core.batch import Batch
from luban.core.contracts import (
    Baseline,
    Example,
    Examples,
    Metric,
    Product,
    Record,
    Signature,
)
from luban.core.errors import DataError
from luban.data.baselines.ridge import Ridge
from luban.data.checks.set_apart import made_of
from luban.data.media.preprocessor import Sample
from luban.metrics.accuracy import Accuracy
from luban.metrics.calibration_error import CalibrationError
from luban.metrics.f1 import F1
from luban.metrics.top_k_accuracy import TopKAccuracy
from luban.tasks.answers.classes import Classifier, write_caption
from luban.tasks.inputs.images import SAMPLE, ImageTask, image_of
from luban.tasks.parts.exports import Mirrored, images

_TOP = 5
_MIRRORED = "transformers does not look at the mirror image too (task.tta)"


class ImageClassification(Classifier, ImageTask):
    """Photographs, drawings, scans: one label for an image, or a list of any number of them.

    Labels are what training records have in ``label``: strings or whole numbers, or lists of
    them. Scores are probabilities. Those of exclusive labels are divided by a temperature,
    several labels get a threshold each; both are fitted to validation data after training.
    """

    tta: Literal["none", "flip"] = Field(
        default="none",
        description="`flip`: predict the mean of an image and its mirror image, at twice the cost.",
    )

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with the labels, and what training images have in common.

        Raises:
            DataError: if no record has image and label.
        """
        answers: Counter[Any] = Counter()
        sample = Sample(SAMPLE)
        for image, answer in made_of(records, lambda r: (image_of(r), self.answer(r))):
            sample.see(image)
            answers[answer] += 1
        if not answers:
            raise DataError("there are no training records to learn from.")
        return self.learn_answers(answers).learn_image_traits(sample.kept)

    def signature(self) -> Signature:
        """Return channels, size and labels."""
        names = self._labels.names
        return Signature(
            accepts="pixels",
            inputs=self._look.channels,
            outputs=len(names),
            produces="label",
            labels=names,
            problem=self.problem,
            size=self._look.size,
        )

    def encode(self, record: Record) -> Example:
        """Return ``pixels`` and ``label``.

        Raises:
            DataError: for a record without image or label.
            UnreadableError: for a damaged image.
        """
        return {"pixels": self.pixels(record), "label": self.encode_answer(record)}

    def encode_input(self, record: Record) -> Example:
        """Return the same without ``label``.

        Raises:
            DataError: for a record without image.
            UnreadableError: for a damaged image.
        """
        return {"pixels": self.pixels(record)}

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Normalise and stack the images, with their labels or shares of labels."""
        return Batch({"pixel_values": self.pixel_values(examples)}, self.targets(examples))

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the logits of the images; with ``tta``, their mean with the mirror images'."""
        found = super().logits(model, batch)
        if self.tta == "none":
            return found
        mirrored = {name: tensor.flip(-1) for name, tensor in batch.inputs.items()}
        return (found + super().logits(model, Batch(mirrored, {}))) / 2

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return the model, how images become its inputs, and how its logits become labels."""
        if self.tta == "none":
            return self.product(model, batch, images(self._look))
        return self.product(Mirrored(model), batch, images(self._look), beyond=_MIRRORED)

    def metrics(self) -> tuple[Metric, ...]:
        """Return accuracy (of several labels, macro F1) first, then what else tells of quality."""
        names = self._labels.names
        if self._labels.several:
            return super().metrics()
        top = (TopKAccuracy(k=_TOP, classes=names),) if len(names) > _TOP else ()
        others = (F1(classes=names), *self.areas(), CalibrationError(classes=names))
        return (Accuracy(), *top, *others)

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return the shares of labels in training data, and least squares over small pixels."""
        labels = self.bare_labels
        ridge = Ridge(
            train.flat("pixels"), train.flat("label"), len(train), classes=len(labels.names)
        )

        def linear(example: Example) -> Any:
            scores = ridge.scores(example["pixels"])
            shares = scores if labels.several else scores / max(scores.sum(), 1e-9)
            return labels.said(np.asarray(shares))

        return {**super().baselines(train), "linear": linear}

    def show(self, axes: Any, example: Example, prediction: Any, target: Any) -> bool:
        """Draw the image under what was predicted; in red, and with the truth, if it is wrong."""
        pixels = example["pixels"]
        grey = pixels.shape[2] == 1
        axes.imshow(pixels[:, :, 0] if grey else pixels, cmap="gray" if grey else None)
        write_caption(axes, prediction, target)
        return True
