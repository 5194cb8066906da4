"""What the numbers mean: records in, predictions out, and the loss between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

from luban.core.component import Component
from luban.core.contracts.examples import Example, Examples, TargetSummary
from luban.core.contracts.exporter import Product
from luban.core.contracts.metric import Metric
from luban.core.contracts.records import Record
from luban.core.contracts.signature import Signature
from luban.core.contracts.view import StoredView, View

if TYPE_CHECKING:
    from torch import nn

    from luban.core.batch import Batch, Losses

#: The one file of ``Task.save`` for what a clock measured: no second training writes the same, so
#: exports leave it out, and nothing that is claimed of an export depends on it.
MEASUREMENTS = "speed.json"


class Task(Component, ABC):
    """What the numbers mean: records in, predictions out, and the loss between.

    What only some tasks have is in contracts of their own, which a task takes as further bases and
    callers find by ``isinstance``: ``Generative``, ``GenerationConfigured``, ``Illustrated``,
    ``Recognises``.
    """

    kind: ClassVar[str] = "tasks"
    #: Fields that a request to a server may set for its own records: from the least to the most.
    adjustable: ClassVar[Mapping[str, tuple[float, float]]] = {}
    #: Whether predictions have ``scores`` by label, of which a request may ask for the best.
    ranks: ClassVar[bool] = False

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with what it must learn; ``records`` are training data only."""
        return self

    def save(self, folder: Path) -> None:
        """Write what was learned (labels, vocabulary) into ``folder``.

        Every file is a function of recipe, data and seed alone, but ``MEASUREMENTS``.
        """

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        return self

    @abstractmethod
    def signature(self) -> Signature:
        """Return all that a model may know of this task."""

    @abstractmethod
    def encode(self, record: Record) -> Example:
        """Return the small arrays a record becomes.

        Raises:
            DataError: where a field is missing or of the wrong type.
        """

    def encode_input(self, record: Record) -> Example:
        """Return the arrays of a record whose answer is not known: what serving encodes.

        ``collate`` and ``predict`` take such examples; ``target`` and ``loss`` do not.

        Raises:
            DataError: where a field is missing or of the wrong type.
        """
        return self.encode(record)

    def record_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a record that ``encode_input`` takes."""
        return {"type": "object"}

    def encode_batch(self, records: Sequence[Record]) -> list[Example]:
        """Encode many records; override where a library does it faster on all cores."""
        return [self.encode(record) for record in records]

    @abstractmethod
    def target_summary(self, example: Example) -> TargetSummary:
        """Return how much an encoded record teaches."""

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return the examples a model sees, made from the stored ones.

        The number of examples must not depend on ``epoch``. ``None`` asks for the view that
        evaluation uses: everything exactly once, nothing random. Call ``knowing`` on the view
        if its examples differ in length, or have classes that sampling can balance.
        """
        return StoredView(store)

    @abstractmethod
    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad and stack examples."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return each example's loss sum and the count it is a sum over.

        In nats, where it is a likelihood; the page of a task or model says what it is elsewhere.
        """

    @abstractmethod
    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return one prediction per example; evaluation and serving both use it."""

    def reported(self, prediction: Any) -> Any:
        """Return what of a prediction ``luban predict`` and the server show: what is sure enough.

        Metrics see the whole of it, since a ranking needs the unlikely too.
        """
        return prediction

    @abstractmethod
    def target(self, example: Example) -> Any:
        """Return what a perfect prediction would be compared with."""

    def reachable(self, example: Example) -> Any:
        """Return the best that ``predict`` could give for an encoded example.

        It is made of the labels that training sees, the way ``predict`` makes its answer of the
        outputs of a model: what encoding cut off, rounded or could not express is missing.
        ``prepare`` scores it against ``target``. None: the task gives no such answer.
        """
        return None

    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of this task, of what ``predict`` returns; the first leads."""

    def validate_batch(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return what validation during training looks at; override where predicting is slow."""
        return self.predict(model, batch)

    def validation_metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of what ``validate_batch`` returns; the first decides what is best."""
        return self.metrics()

    def calibrate(self, model: nn.Module, batches: Iterable[Batch]) -> Self:
        """Return this task with what can be tuned after training: thresholds, temperature.

        Args:
            model: The trained module, in evaluation mode.
            batches: The validation split, never the test split; iterate only if needed.
        """
        return self

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return trivial predictors learned from training examples, by name."""
        return {}

    def folded(self, model: nn.Module, batch: Batch) -> Self:
        """Return this task with what rescales outputs moved into the weights of the model.

        So every program that loads the weights gives the scores that ``predict`` gives.

        Args:
            model: The trained module, in evaluation mode; its last layer is changed in place.
            batch: Some examples, to check that the outputs become what they should.
        """
        return self

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return what exporters write: the module, inputs for it, and what its numbers mean."""
        return Product(model, batch)


class Baseline(Protocol):
    """A trivial predictor: an example in, a prediction like the task's own out."""

    def __call__(self, example: Example) -> Any:
        """Return the prediction for one example."""
        ...


@runtime_checkable
class StrongBaseline(Baseline, Protocol):
    """A baseline that is a model in its own right, the simple one that is hard to beat."""

    @property
    def told(self) -> str:
        """What it is and what it has learned from, a sentence for the card."""
        ...

    def predict_many(self, examples: Sequence[Example]) -> list[Any]:
        """Return the prediction for each example."""
        ...
