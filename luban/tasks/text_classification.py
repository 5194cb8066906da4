"""Tell which class, or which of several labels, a text or a pair of texts has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, PrivateAttr
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import Baseline, Example, Examples, Guess, Metric, Ports, Record
from luban.core.files import write_json
from luban.data.bayes import NaiveBayes
from luban.data.records import unusable
from luban.metrics.accuracy import Accuracy
from luban.metrics.auroc import Auroc
from luban.metrics.calibration_error import CalibrationError
from luban.metrics.f1 import F1
from luban.metrics.matthews import Matthews
from luban.nn.losses import binary_cross_entropy, cross_entropy
from luban.tasks._guessing import guess_labels
from luban.tasks._labels import Answer, Labels, label_of
from luban.tasks._learned import read_learned
from luban.tasks._pairs import PairTask

_FILE = "labels.json"


class TextClassification(PairTask):
    """Topics, sentiments, intents: one label for an example, or a list of any number of them.

    Labels are what training records have in ``label``: strings or whole numbers, or lists of
    them. Scores are probabilities. Those of exclusive labels are divided by a temperature,
    several labels get a threshold each; both are fitted to validation data after training.
    """

    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    focal_gamma: float = Field(
        default=0.0, ge=0.0, description="Let examples that are already right count less."
    )
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        default=None,
        description=(
            "What labels weigh in the loss: `balanced` (each as much as any other), or a table by "
            "label (the others weigh 1)."
        ),
    )
    label_separator: str = Field(
        default="", description="What stands between several labels written as one string."
    )
    tune_threshold: bool = Field(
        default=False,
        description=(
            "Of two labels, predict the second where its score reaches the threshold of the best "
            "F1 on validation data. Several labels each have a threshold anyway."
        ),
    )
    _labels: Labels = PrivateAttr(default_factory=Labels)

    def answer(self, record: Record) -> Answer:
        """Return the label of a record, or a tuple of several.

        Raises:
            DataError: if it has none.
        """
        value = record.get("label", record.get("labels"))
        if self.label_separator and isinstance(value, str):
            value = [part for part in value.split(self.label_separator) if part.strip()]
        if isinstance(value, list | tuple):
            return tuple(sorted({self._name(record, one) for one in value}))
        return self._name(record, value)

    def _name(self, record: Record, value: Any) -> str:
        name = label_of(value)
        if name is None:
            raise unusable(record, "label", "that is a string or a whole number")
        return name

    def learn_answers(self, answers: Counter[Any]) -> Self:
        """Return this task with the labels of the training records."""
        labels = Labels.of(answers)
        labels.weights(self.class_weights)  # a misspelt label is told now
        return self._with(labels)

    def save(self, folder: Path) -> None:
        """Write tokenizer, labels, temperature and thresholds."""
        super().save(folder)
        write_json(folder / _FILE, asdict(self._labels))

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        keys = tuple(Labels.__dataclass_fields__)
        saved = dict(zip(keys, read_learned(folder / _FILE, *keys), strict=True))
        for key in ("names", "counts", "thresholds"):
            saved[key] = tuple(saved[key])
        return super().load(folder)._with(Labels(**saved))

    def ports(self) -> Ports:
        """Return vocabulary and labels."""
        kind = "multi" if self._labels.several else "single"
        names = self._labels.names
        return self.ports_for(len(names), names, f"{kind}_label_classification")

    @classmethod
    def recognise(cls, sample: Sequence[Record]) -> Guess | None:
        """Read records with a text and a field of few distinct values."""
        return guess_labels(sample)

    def encode_answer(self, record: Record) -> np.ndarray[Any, Any]:
        """Return the number of the label; of several, 0 or 1 for each."""
        return self._labels.encode(self.answer(record), record)

    def groups(self, store: Examples) -> np.ndarray[Any, Any] | None:
        """Return the label of each example; several labels make no groups."""
        return None if self._labels.several else np.asarray(store.flat("label"))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad the texts; labels are (B,), or (B, C) of zeros and ones."""
        targets: dict[str, Tensor] = {}
        if "label" in examples[0]:
            stacked = np.stack([example["label"] for example in examples])
            targets["labels"] = torch.from_numpy(stacked.astype(np.int64))
        return Batch(self.inputs(examples), targets)

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return the (weighted, focal) cross-entropy; of several labels the binary one of each."""
        logits, labels = model(**batch.inputs), batch.targets["labels"]
        smoothing = self.label_smoothing if model.training else 0.0
        found, gamma = self._labels.weights(self.class_weights), self.focal_gamma
        weight = None if found is None else torch.tensor(found, device=logits.device)  # not in bf16
        if self._labels.several:
            return binary_cross_entropy(
                logits, labels, label_smoothing=smoothing, pos_weight=weight, focal_gamma=gamma
            )
        return cross_entropy(
            logits, labels, label_smoothing=smoothing, weight=weight, focal_gamma=gamma
        )

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return ``{"label", "score", "scores"}``, or ``{"labels", "scores"}`` of several."""
        scores = self._labels.scores(_array(model(**batch.inputs)))
        return [self._labels.said(row) for row in scores]

    def target(self, example: Example) -> Any:
        """Return ``{"label": …}`` or ``{"labels": […]}``."""
        return self._labels.target(example["label"])

    def metrics(self) -> tuple[Metric, ...]:
        """Return accuracy (of several labels, macro F1) first, then what else tells of quality."""
        names = self._labels.names
        macro, micro = F1(classes=names), F1(classes=names, average="micro")
        area, error = Auroc(classes=names), CalibrationError(classes=names)
        if self._labels.several:
            return (macro, micro, Accuracy(), area, error)
        return (Accuracy(), macro, micro, area, Matthews(classes=names), error)

    def calibrate(self, model: nn.Module, batches: Iterable[Batch]) -> Self:
        """Return this task with the temperature or the thresholds that fit the batches best."""
        found = [(_array(model(**b.inputs)), b.targets["labels"].cpu().numpy()) for b in batches]
        if not found:
            return self
        logits, truth = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return self._with(self._labels.tuned(logits, truth, threshold=self.tune_threshold))

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return the shares of labels in training data and naive Bayes over tokens."""
        labels = replace(self._labels, thresholds=())
        shares = np.array(labels.counts) / labels.examples
        found: dict[str, Baseline] = {"majority": lambda example: labels.said(shares)}
        if not labels.several:
            bayes = NaiveBayes(
                train.flat("input_ids"),
                train.lengths("input_ids"),
                train.flat("label"),
                vocabulary=self.tokenizer.size,
                classes=len(labels.names),
            )
            found["naive-bayes"] = lambda example: labels.said(bayes.scores(example["input_ids"]))
        return found

    def _with(self, labels: Labels) -> Self:
        task = self.model_copy()
        task._labels = labels
        return task


def _array(logits: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = logits.double().cpu().numpy()
    return array
