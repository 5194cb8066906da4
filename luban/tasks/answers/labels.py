"""Names for the outputs of a model: learned from training data, tuned on validation data.

Shapes: N examples, C labels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, TypeAlias

import numpy as np

from luban.core.contracts import Record
from luban.core.errors import DataError, RecipeError
from luban.core.positions import positions
from luban.core.registry import nearest
from luban.tasks.answers.calibration import HALF, best_temperature, best_threshold, sigmoid, softmax
from luban.tasks.parts.unknown_labels import shown, unknown_label

Array: TypeAlias = "np.ndarray[Any, Any]"
#: What a record says: one label, or any number of them.
Answer: TypeAlias = str | tuple[str, ...]
Weights: TypeAlias = Literal["balanced"] | Mapping[str, float] | None

_NUMBER = re.compile(r"-?\d+\.0+")
_WHOLE = re.compile(r"-?\d+(?:\.0+)?")
_FEW = 0.1  #: share of records that tell labels otherwise than the rest, and are set apart


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a task.

    Attributes:
        names: In the order of the model's outputs.
        several: Whether an example has any number of labels, not exactly one.
        counts: Training examples of each label.
        examples: Training examples in all.
        temperature: What logits are divided by.
        thresholds: What the score of each label must reach (empty: the highest score wins; of
            several labels, 0.5).
        folded: The temperature that the weights already hold: their logits are divided by it.
    """

    names: tuple[str, ...] = ()
    several: bool = False
    counts: tuple[int, ...] = ()
    examples: int = 0
    temperature: float = 1.0
    thresholds: tuple[float, ...] = ()
    folded: float = 1.0

    @classmethod
    def of(cls, answers: Counter[Answer]) -> Self:
        """Return the labels of training records: numbers by size, then names by code point.

        Raises:
            DataError: if there are fewer than two, or only some records have lists.
        """
        lists = Counter(isinstance(answer, tuple) for answer in answers.elements())
        if 0 < min(lists[True], lists[False]) <= _FEW * lists.total():  # encoding sets them apart
            kind = lists[True] > lists[False]
            answers = Counter({a: n for a, n in answers.items() if isinstance(a, tuple) == kind})
        elif len({isinstance(answer, tuple) for answer in answers}) > 1:
            raise DataError(
                "some training records have one label and others have a list of labels.",
                where="label",
                fix="write every label as a list.",
            )
        several = isinstance(next(iter(answers)), tuple)
        counts: Counter[str] = Counter()
        for answer, times in answers.items():
            for name in (answer,) if isinstance(answer, str) else answer:
                counts[name] += times
        if len(counts) < (1 if several else 2):
            raise DataError(
                "the training records do not differ in their labels.",
                where="label",
                expected="at least two labels",
                got=", ".join(counts) or "empty lists only",
                fix="check the field `label`, and how the data are split.",
            )
        _check_numbers(counts)
        names = tuple(sorted(counts, key=_order))
        return cls(names, several, tuple(counts[name] for name in names), answers.total())

    def encode(self, answer: Answer, record: Record) -> Array:
        """Return the number of a label, int32 (); of several, 0 or 1 for each, uint8 (C,).

        Raises:
            DataError: if the record tells one label and training data lists, or the reverse.
            UnknownLabelError: if training data have no such label.
        """
        if isinstance(answer, tuple) != self.several:
            raise DataError(
                "this record does not tell its label as the training records do.",
                where=record.get("_where", ""),
                expected="a list of labels" if self.several else "one label",
                got=answer,
            )
        number = positions(self.names)
        for name in (answer,) if isinstance(answer, str) else answer:
            if name not in number:
                raise unknown_label(name, self.names, record)
        if isinstance(answer, tuple):
            return np.array([name in answer for name in self.names], np.uint8)
        return np.asarray(number[answer], np.int32)

    def target(self, label: Array) -> dict[str, Any]:
        """Return what ``encode`` made an array of, as a perfect prediction would say it."""
        if self.several:
            return {"labels": [name for name, true in zip(self.names, label, strict=True) if true]}
        return {"label": self.names[int(label)]}

    def weights(self, choice: Weights) -> list[float] | None:
        """Return what each label weighs in the loss, (C,).

        Balanced, each label weighs examples / (C * its own), as in scikit-learn; of several
        labels, examples without it over examples with it.

        Raises:
            RecipeError: for the weight of an unknown label.
        """
        if choice is None:
            return None
        if choice != "balanced":
            for name in choice:
                if name not in self.names:
                    raise RecipeError(
                        f"the training records have no label {name!r}.",
                        where="task.class_weights",
                        expected=shown(self.names),
                        fix=nearest(name, list(self.names)),
                    )
            return [float(choice.get(name, 1.0)) for name in self.names]
        if self.several:
            return [max(self.examples - count, 1) / count for count in self.counts]
        return [self.examples / (len(self.names) * count) for count in self.counts]

    def meaning(self) -> dict[str, Any]:
        """Return how logits become an answer: for programs without Luban."""
        several = "each label whose score reaches its threshold"
        best = "the label with the highest score"
        second = f"{self.names[-1]} if its score reaches its threshold, else {self.names[0]}"
        bounds = self.thresholds or (0.5,) * len(self.names) * self.several
        return {
            "labels": list(self.names),
            "temperature": self.temperature,
            "function": "sigmoid" if self.several else "softmax",
            "thresholds": list(bounds) or None,
            "rule": "scores = function(logits / temperature); the answer is "
            + (several if self.several else second if bounds else best),
        }

    def scores(self, logits: Array) -> Array:
        """Return the probability of each label, (N, C)."""
        scaled = logits / self.temperature
        return sigmoid(scaled) if self.several else softmax(scaled)

    def said(self, scores: Array) -> dict[str, Any]:
        """Return the prediction that scores (C,) make."""
        each = dict(zip(self.names, scores.tolist(), strict=True))
        if self.several:
            bounds = self.thresholds or (HALF,) * len(self.names)
            passed = zip(each.items(), bounds, strict=True)
            return {"labels": [n for (n, score), bound in passed if score >= bound], "scores": each}
        best = self.names[int(scores.argmax())]
        if self.thresholds:
            best = self.names[int(scores[1] >= self.thresholds[1])]
        return {"label": best, "score": each[best], "scores": each}

    def tuned(self, logits: Array, truth: Array, *, threshold: bool) -> Self:
        """Return labels with the temperature or the thresholds that help on validation data.

        Args:
            logits: Shape (N, C), N >= 1.
            truth: Class numbers (N,); of several labels, 0 or 1, (N, C).
            threshold: Whether the second of two labels gets a threshold too.
        """
        if not self.several:
            tuned = replace(self, temperature=best_temperature(logits, truth), thresholds=())
            if not threshold or len(self.names) != 2:
                return tuned
            second = best_threshold(tuned.scores(logits)[:, 1], truth)
            return tuned if second == HALF else replace(tuned, thresholds=(1 - second, second))
        scores = self.scores(logits)
        return replace(self, thresholds=tuple(map(best_threshold, scores.T, truth.T)))


def label_of(value: Any) -> str | None:
    """Return a label as text: strings, whole numbers and truth values can be one.

    A number is called as it is written: 1 and 1.0 are two labels, which ``Labels.of`` refuses.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(value)
    return value.strip() or None if isinstance(value, str) else None


def _check_numbers(counts: Counter[str]) -> None:
    """Refuse labels that are one number written in two ways.

    Raises:
        DataError: naming both.
    """
    for name, times in counts.items():
        whole = name.rstrip("0").removesuffix(".") if _NUMBER.fullmatch(name) else name
        if whole != name and whole in counts:
            raise DataError(
                "the same number is written in two ways, as two labels.",
                where="label",
                expected=f"{whole} or {name} everywhere",
                got=f"{whole} in {counts[whole]:,} training records, {name} in {times:,}",
                fix="write it in one way, or rename labels in data.source.values.",
            )


def _order(name: str) -> tuple[bool, float, str]:
    number = bool(_WHOLE.fullmatch(name))
    return (not number, float(name) if number else 0.0, name)
