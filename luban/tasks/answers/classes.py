"""What tasks that tell a label share, whatever they read: labels, loss, scores, calibration."""

from __future__ import annotations

from abc import ABC
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, PrivateAttr
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.colors import RED
from luban.core.contracts import (
    Baseline,
    Example,
    Examples,
    Illustrated,
    Metric,
    Product,
    Record,
    Task,
    View,
)
from luban.core.files import write_json
from luban.data.files.records import unusable
from luban.data.media.media_files import holds_media
from luban.data.views.mixed_labels import label_shares
from luban.metrics.accuracy import Accuracy
from luban.metrics.auroc import Auroc
from luban.metrics.calibration_error import CalibrationError
from luban.metrics.f1 import F1
from luban.metrics.matthews import Matthews
from luban.nn.folding import fold
from luban.nn.losses import (
    binary_cross_entropy,
    cross_entropy,
    soft_cross_entropy,
    with_auxiliary,
)
from luban.tasks.answers.labels import Answer, Labels, label_of
from luban.tasks.parts.exports import meaning
from luban.tasks.parts.learned_files import read_learned

_FILE = "labels.json"

MOST_AREAS = 500  #: classes up to which the area under the curve is measured
_SCORES = 20_000_000  #: of validation examples that the temperature is found with


class Classifier(Task, Illustrated, ABC):
    """A task that gives an example one label of several, or any number of them.

    Labels are what training records have in ``label``: strings or whole numbers, or lists of
    them. Scores are probabilities. Those of exclusive labels are divided by a temperature,
    several labels get a threshold each; both are fitted to validation data after training.
    """

    takes_mixes: ClassVar[bool] = True
    ranks: ClassVar[bool] = True

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
            return tuple(sorted({_name(record, one) for one in value}))
        return _name(record, value)

    def learn_answers(self, answers: Counter[Any]) -> Self:
        """Return this task with the labels of the training records."""
        labels = Labels.of(answers)
        labels.weights(self.class_weights)  # a misspelt label is told now
        return self._with(labels)

    def save(self, folder: Path) -> None:
        """Write labels, temperature and thresholds."""
        super().save(folder)
        write_json(folder / _FILE, asdict(self._labels))

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        keys = tuple(key for key in Labels.__dataclass_fields__ if key != "folded")
        found = read_learned(folder / _FILE, *keys, folded=1.0)
        saved = dict(zip((*keys, "folded"), found, strict=True))
        for key in ("names", "counts", "thresholds"):
            saved[key] = tuple(saved[key])
        return super().load(folder)._with(Labels(**saved))

    @property
    def problem(self) -> str:
        """What ``config.json`` calls ``problem_type``."""
        return f"{'multi' if self._labels.several else 'single'}_label_classification"

    def encode_answer(self, record: Record) -> np.ndarray[Any, Any]:
        """Return the number of the label; of several, 0 or 1 for each."""
        return self._labels.encode(self.answer(record), record)

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return the examples, in groups by label; several labels make no groups."""
        view = super().view(store, epoch, seed)
        if self._labels.several:
            return view
        return view.knowing(groups=lambda: np.asarray(store.flat("label")))

    def targets(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Return ``labels``, if they are known.

        They are (B,) numbers; (B, C) of zeros and ones where there are several; and (B, C)
        shares of each label where an example of the batch is a mix of others.
        """
        if "label" not in examples[0]:
            return {}
        if any("other_labels" in example for example in examples):
            shares = [label_shares(example, len(self._labels.names)) for example in examples]
            return {"labels": torch.from_numpy(np.stack(shares))}
        stacked = np.stack([example["label"] for example in examples])
        return {"labels": torch.from_numpy(stacked.astype(np.int64))}

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return the (weighted, focal) cross-entropy; of several labels the binary one of each."""
        output, labels = model(**batch.inputs), batch.targets["labels"]
        smoothing = self.label_smoothing if model.training else 0.0
        found, gamma = self._labels.weights(self.class_weights), self.focal_gamma
        weight = None if found is None else torch.tensor(found, device=labels.device)  # not in bf16

        def of(logits: Tensor) -> Losses:
            if self._labels.several:
                return binary_cross_entropy(
                    logits, labels, label_smoothing=smoothing, pos_weight=weight, focal_gamma=gamma
                )
            entropy = soft_cross_entropy if labels.is_floating_point() else cross_entropy
            return entropy(
                logits, labels, label_smoothing=smoothing, weight=weight, focal_gamma=gamma
            )

        return with_auxiliary(output, of)

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return what predictions and calibration are made of, (B, C)."""
        found: Tensor = model(**batch.inputs)
        return found

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return ``{"label", "score", "scores"}``, or ``{"labels", "scores"}`` of several."""
        scores = self._labels.scores(_array(self.logits(model, batch)))
        return [self._labels.said(row) for row in scores]

    def target(self, example: Example) -> Any:
        """Return ``{"label": …}`` or ``{"labels": […]}``."""
        return self._labels.target(example["label"])

    def reachable(self, example: Example) -> Any:
        """Return the labels of the example, each entirely sure."""
        label = example["label"]
        sure = label if self._labels.several else np.arange(len(self._labels.names)) == label
        return self.bare_labels.said(np.asarray(sure, np.float64))

    def mistake(self, prediction: Any, target: Any) -> float:
        """Return the score of a wrong label; of several, the worst score on the wrong side."""
        if "labels" not in target:
            right = prediction["label"] == target["label"]
            return 0.0 if right else float(prediction["score"])
        wrong = set(prediction["labels"]) ^ set(target["labels"])
        scores, true = prediction["scores"], set(target["labels"])
        return max((1 - scores[n] if n in true else scores[n] for n in wrong), default=0.0)

    def metrics(self) -> tuple[Metric, ...]:
        """Return accuracy (of several labels, macro F1) first, then what else tells of quality."""
        names = self._labels.names
        macro, micro = F1(classes=names), F1(classes=names, average="micro")
        area, error = self.areas(), CalibrationError(classes=names)
        if self._labels.several:
            return (macro, micro, Accuracy(), *area, error)
        return (Accuracy(), macro, micro, *area, Matthews(classes=names), error)

    def areas(self) -> tuple[Metric, ...]:
        """Return the area under the curve, unless there are more classes than `MOST_AREAS`.

        It needs every score of every example, and a mean over thousands of classes of a few
        examples each says little.
        """
        names = self._labels.names
        return (Auroc(classes=names),) if len(names) <= MOST_AREAS else ()

    def left_out(self) -> tuple[str, ...]:
        """Return why there is no area under the curve, if there is none."""
        if self.areas():
            return ()
        names = self._labels.names
        return (
            f"No `{Auroc(classes=names).label}` for {len(names):,} classes: it is measured up to "
            f"{MOST_AREAS:,}, since it needs every score of every example.",
        )

    def calibrate(self, model: nn.Module, batches: Iterable[Batch]) -> Self:
        """Return this task with the temperature or the thresholds, where they help (`kept`)."""
        found: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        each = 1  #: of so many batches one is kept, so that the scores fit in memory
        for number, batch in enumerate(batches):
            if number % each:
                continue
            logits = _array(self.logits(model, batch))
            found.append((logits, batch.targets["labels"].cpu().numpy()))
            if len(found) > 1 and sum(logits.size for logits, _ in found) > _SCORES:
                found, each = found[::2], 2 * each
        if not found:
            return self
        logits, truth = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return self._with(self._labels.tuned(logits, truth, threshold=self.tune_threshold))

    def folded(self, model: nn.Module, batch: Batch) -> Self:
        """Return this task with the temperature moved into the weights, which give its scores."""
        labels = self._labels
        if labels.temperature == 1 or not fold(model, batch.inputs, 1 / labels.temperature):
            return self
        told = labels.folded * labels.temperature
        return self._with(replace(labels, temperature=1.0, folded=told))

    def product(self, model: nn.Module, batch: Batch, read: Any, **parts: Any) -> Product:
        """Return what exporters write.

        Args:
            model: The program.
            batch: Some examples.
            read: How records become inputs.
            parts: Further fields of the product.
        """
        said = meaning(self.name, read, self._labels.meaning())
        if self._labels.temperature != 1:
            parts["beyond"] = "the temperature of its scores is in none of its layers"
        return Product(model, Batch(dict(batch.inputs), {}), meaning=said, **parts)

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return the shares of labels in training data."""
        labels = self.bare_labels
        shares = np.array(labels.counts) / labels.examples
        always = labels.said(shares)
        return {"majority": lambda example: always}

    @property
    def bare_labels(self) -> Labels:
        """The labels without what validation data tuned: what a baseline speaks in."""
        return replace(self._labels, thresholds=())

    def _with(self, labels: Labels) -> Self:
        task = self.model_copy()
        task._labels = labels
        return task


def write_caption(axes: Any, prediction: Any, target: Any) -> None:
    """Write what was predicted over a drawing; if it is wrong, in red, and the truth below it."""
    said, true = _words(prediction), None if target is None else _words(target)
    wrong = true is not None and said != true
    axes.set_title(said, fontsize=9, color=RED if wrong else "black")
    if wrong:
        axes.set_xlabel(f"is {true}", fontsize=9)


def _words(answer: Any) -> str:
    names = answer["labels"] if "labels" in answer else [answer["label"]]
    return ", ".join(names) or "none"


def _name(record: Record, value: Any) -> str:
    name = label_of(value)
    if name is None:
        folders = any(map(holds_media, record.values()))
        also = ", or lay the files into folders, two or more, called by their labels" * folders
        raise unusable(record, "label", "that is a string or a whole number", also=also)
    return name


def _array(logits: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = logits.double().cpu().numpy()
    return array
