"""Give a number to a text or a pair of texts: a rating, a similarity, a price."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import PrivateAttr
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import (
    Baseline,
    Example,
    Examples,
    Metric,
    Product,
    Record,
    Signature,
)
from luban.core.files import write_json
from luban.data.files.records import unusable
from luban.metrics.pearson import Pearson
from luban.metrics.rmse import Rmse
from luban.metrics.spearman import Spearman
from luban.nn.folding import fold
from luban.nn.losses import mean_squared_error
from luban.tasks.inputs.text_pairs import PairTask
from luban.tasks.parts.exports import Rescaled, meaning
from luban.tasks.parts.learned_files import read_learned

_FILE = "scale.json"


class TextRegression(PairTask):
    """A number for each example, from the record's ``value`` (or ``label``).

    The model learns (value - mean) / spread, both taken from training data, so that the learning
    rate does not depend on the unit.
    """

    _mean: float = PrivateAttr(default=0.0)
    _spread: float = PrivateAttr(default=1.0)
    _folded: bool = PrivateAttr(default=False)  # whether the weights give values themselves

    def answer(self, record: Record) -> float:
        """Return the value of a record.

        Raises:
            DataError: if it has none, or it is no finite number.
        """
        value = record.get("value", record.get("label"))
        try:  # tables of text hold numbers as text
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise unusable(record, "value", "that is a finite number")
        return number

    def learn_answers(self, answers: Counter[Any]) -> Self:
        """Return this task with mean and standard deviation of the values."""
        values = np.fromiter(answers, np.float64, len(answers))
        times = np.fromiter(answers.values(), np.float64, len(answers))
        mean = float(np.average(values, weights=times))
        spread = float(np.sqrt(np.average((values - mean) ** 2, weights=times)))
        return self._with(mean, spread or 1.0)

    def save(self, folder: Path) -> None:
        """Write tokenizer, mean and standard deviation."""
        super().save(folder)
        facts = {"mean": self._mean, "spread": self._spread, "folded": self._folded}
        write_json(folder / _FILE, facts)

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        mean, spread, folded = read_learned(folder / _FILE, "mean", "spread", folded=False)
        task = super().load(folder)._with(float(mean), float(spread))
        task._folded = bool(folded)
        return task

    def signature(self) -> Signature:
        """Return the vocabulary, and one output."""
        return self.signature_for(1, (), "regression")

    def encode_answer(self, record: Record) -> np.ndarray[Any, Any]:
        """Return the value."""
        return np.asarray(self.answer(record), np.float64)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad the texts; the standardised values are (B,)."""
        targets: dict[str, Tensor] = {}
        if "label" in examples[0]:
            values = np.stack([example["label"] for example in examples])
            targets["labels"] = torch.from_numpy((values - self._mean) / self._spread).float()
        return Batch(self.inputs(examples), targets)

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return the squared error of each standardised value."""
        outputs: Tensor = model(**batch.inputs).squeeze(-1)
        if self._folded:
            outputs = (outputs - self._mean) / self._spread
        return mean_squared_error(outputs, batch.targets["labels"])

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return ``{"value": …}`` in the unit of the data."""
        outputs: Tensor = model(**batch.inputs).squeeze(-1)
        values = outputs.double()
        if not self._folded:
            values = values * self._spread + self._mean
        return [{"value": value} for value in values.tolist()]

    def folded(self, model: nn.Module, batch: Batch) -> Self:
        """Return this task with mean and spread moved into the weights, which give values then."""
        if self._folded or not fold(model, batch.inputs, self._spread, self._mean):
            return self
        task = self._with(self._mean, self._spread)
        task._folded = True
        return task

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return a model that gives values, and how texts become its inputs."""
        beyond = ""
        if not self._folded:
            model = Rescaled(model, self._spread, self._mean)
            beyond = "its last layer has no bias that could hold the mean of the values"
        said = meaning(self.name, self.reading(), {"rule": "the value is the one logit"})
        return Product(model, Batch(dict(batch.inputs), {}), meaning=said, beyond=beyond)

    def target(self, example: Example) -> Any:
        """Return ``{"value": …}``."""
        return {"value": float(example["label"])}

    def metrics(self) -> tuple[Metric, ...]:
        """Return both correlations and the error."""
        return (Pearson(), Spearman(), Rmse())

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return the mean of the training values."""
        return {"mean": lambda example: {"value": self._mean}}

    def _with(self, mean: float, spread: float) -> Self:
        task = self.model_copy()
        task._mean, task._spread = mean, spread
        return task
