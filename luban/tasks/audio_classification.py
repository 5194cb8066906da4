"""Tell which class, or which of several labels, a recording has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

from torch import nn

from luban.core.batch import Batch
from luban.core.contracts import Example, Product, Record, Signature, TargetSummary
from luban.core.errors import DataError
from luban.data.checks.set_apart import made_of
from luban.tasks.answers.classes import Classifier, write_caption
from luban.tasks.inputs.audio import SoundTask
from luban.tasks.parts.exports import filters_of


class AudioClassification(Classifier, SoundTask):
    """Who speaks, which word, what makes this noise: a label for a recording, or several of them.

    Labels are what training records have in ``label``: strings or whole numbers, or lists of
    them. Scores are probabilities. Those of exclusive labels are divided by a temperature,
    several labels get a threshold each; both are fitted to validation data after training.
    """

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with the labels of the training records.

        Raises:
            DataError: if no record has a label.
        """
        answers: Counter[Any] = Counter(made_of(records, self.answer))
        if not answers:
            raise DataError("there are no training records to learn from.")
        return self.learn_answers(answers)

    def signature(self) -> Signature:
        """Return bands and labels, and how many frames make a position."""
        names = self._labels.names
        return Signature(
            accepts="frames",
            inputs=self.feature_size,
            outputs=len(names),
            length=self.longest,
            produces="label",
            labels=names,
            problem=self.problem,
            stride=self.stride,
        )

    def encode(self, record: Record) -> Example:
        """Return ``samples`` and ``label``.

        Raises:
            DataError: for a record without audio or label.
            UnfitError: for a recording that is too long or damaged.
        """
        return {"samples": self.recording(record), "label": self.encode_answer(record)}

    def target_summary(self, example: Example) -> TargetSummary:
        """A recording teaches once; it is noted if it is clipped."""
        return TargetSummary(count=1, notes=self.clipping(example))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad features; labels are those of all classifiers."""
        return Batch(self.inputs(examples), self.targets(examples))

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return the model, how recordings become its inputs, and how logits become labels."""
        return self.product(model, batch, self.reading(), arrays=filters_of(self.mel))

    def show(self, axes: Any, example: Example, prediction: Any, target: Any) -> bool:
        """Draw the spectrogram under what was predicted; in red, over the truth, if wrong."""
        self.plot(axes, example)
        write_caption(axes, prediction, target)
        return True
