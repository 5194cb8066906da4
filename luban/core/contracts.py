"""The kinds. Each is abstract; a component is a final class in a file of its own.

This file loads without torch: tensor types are for the type checker only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeAlias

from luban.core.component import Component
from luban.core.data_contracts import (
    Cleaner,
    Example,
    Examples,
    Ports,
    Record,
    Source,
    Supervision,
    Tally,
    Tokenizer,
)

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn
    from torch.optim import Optimizer as TorchOptimizer

    from luban.core.batch import Batch, Losses, LossFn
    from luban.core.report import Report

__all__ = [
    "Adapter", "Baseline", "Cleaner", "Example", "Examples", "Exporter", "Mechanism", "Metric",
    "Model", "Objective", "Optimizer", "Ports", "Record", "Row", "Schedule", "Source", "Stage",
    "Supervision", "Tally", "Task", "Tokenizer", "Tracker",
]  # fmt: skip

Row: TypeAlias = tuple[float, ...]  #: what a metric keeps of one example


class Task(Component, ABC):
    """What the numbers mean: records in, predictions out, and the loss between."""

    kind: ClassVar[str] = "tasks"

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with what it must learn; ``records`` are training data only."""
        return self

    def save(self, folder: Path) -> None:
        """Write what was learned (labels, vocabulary) into ``folder``."""

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        return self

    @abstractmethod
    def ports(self) -> Ports:
        """Return all that a model may know of this task."""

    @abstractmethod
    def encode(self, record: Record) -> Example:
        """Return the small arrays a record becomes.

        Raises:
            DataError: where a field is missing or of the wrong type.
        """

    def encode_batch(self, records: Sequence[Record]) -> list[Example]:
        """Encode many records; override where a library does it faster on all cores."""
        return [self.encode(record) for record in records]

    @abstractmethod
    def supervision(self, example: Example) -> Supervision:
        """Return how much an encoded record teaches."""

    def view(self, store: Examples, epoch: int | None, seed: int) -> Sequence[Example]:
        """Return the examples a model sees, made from the stored ones.

        The number of examples must not depend on ``epoch``. ``None`` asks for the view that
        evaluation uses: everything exactly once, nothing random.
        """
        return _Stored(store)

    @abstractmethod
    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad and stack examples."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return each example's loss sum (nats) and the count it is a sum over."""

    @abstractmethod
    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return one prediction per example; evaluation and serving both use it."""

    @abstractmethod
    def target(self, example: Example) -> Any:
        """Return what a perfect prediction would be compared with."""

    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of this task; the first one decides which checkpoint is best."""

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return trivial predictors learned from training examples, by name."""
        return {}

    def generator(self, model: nn.Module) -> Any:
        """Return a ``luban.inference.text.TextGenerator`` if prompts can be continued, or None."""
        return None

    def samples(self, model: nn.Module, count: int, seed: int) -> list[Any]:
        """Return things a generative model makes on its own; empty for other tasks."""
        return []

    def references(self, held_out: Examples, count: int, seed: int) -> list[Any]:
        """Return real, unseen things of the form that ``samples`` makes, to compare with."""
        return []

    def sample_metrics(self, train: Examples) -> tuple[Metric, ...]:
        """Return metrics of samples; their ``row`` gets the sample and ``None``."""
        return ()


class Baseline(Protocol):
    """A trivial predictor: an example in, a prediction like the task's own out."""

    def __call__(self, example: Example) -> Any:
        """Return the prediction for one example."""
        ...


class _Stored(Sequence[Any]):
    """The stored examples as they are."""

    def __init__(self, store: Examples) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._store[i] for i in range(*index.indices(len(self)))]
        return self._store[index]


class Model(Component, ABC):
    """The configuration of an architecture; ``build`` returns a plain ``nn.Module``.

    The module names its ``stem`` (the layer whose output explanations and adversaries touch)
    and returns logits (B, ..., outputs) from ``forward(**batch.inputs)``.
    """

    kind: ClassVar[str] = "models"
    accepts: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def build(self, ports: Ports) -> nn.Module:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the model cannot take what the task gives.
        """

    def resolve(self) -> Self:
        """Return this model with every field that a pretrained directory decides filled in."""
        return self

    def pretrained_weights(self) -> Mapping[str, Tensor] | None:
        """Return the weights to start from, by module parameter name; None: fresh ones."""
        return None

    def hf_config(self, ports: Ports) -> dict[str, Any]:
        """Return ``config.json``: a Hugging Face one where an equivalent exists."""
        return {"model_type": f"luban-{self.name}", **self.to_dict()}

    def to_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors under their Hugging Face names and layouts."""
        return dict(tensors)

    def from_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors from Hugging Face's: the inverse of ``to_hf``."""
        return dict(tensors)

    def flops_per_token(self, ports: Ports, parameters: int) -> float:
        """Return training FLOP per position: 6 per parameter (Kaplan et al. 2020, 2001.08361)."""
        return 6.0 * parameters


class Metric(Component, ABC):
    """A row per example and a way to reduce rows, so intervals and ranks come for free."""

    kind: ClassVar[str] = "metrics"
    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = ""

    @property
    def label(self) -> str:
        """The name in reports; different for each setting a task may use side by side."""
        return self.name

    @abstractmethod
    def row(self, prediction: Any, target: Any) -> Row:
        """Return what must be kept of one example; the same length for each."""

    @abstractmethod
    def reduce(self, rows: np.ndarray[Any, Any]) -> float:
        """Return the metric of rows (N, K), N >= 1, float64."""


class Optimizer(Component, ABC):
    """How a gradient becomes a step."""

    kind: ClassVar[str] = "optimizers"

    @abstractmethod
    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> TorchOptimizer:
        """Return the optimizer over named trainable parameters.

        Every group has ``initial_lr``; the loop sets ``lr = initial_lr * schedule.factor``.
        Weight decay applies to parameters of two or more dimensions only.
        """


class Schedule(Component, ABC):
    """The learning rate as a share of its peak."""

    kind: ClassVar[str] = "schedules"

    @abstractmethod
    def factor(self, step: int, progress: float) -> float:
        """Return the factor for a step (from 0) at a progress in [0, 1) of the budget."""


class Mechanism(Component, ABC):
    """How per-example losses become THE gradient, and what that costs.

    The loop asks ``draw`` for the examples of a step, calls ``accumulate`` once per
    micro-batch, sums ``.grad`` and losses over ranks, then calls ``settle`` once.
    """

    kind: ClassVar[str] = "mechanisms"

    @abstractmethod
    def draw(self, step: int, batch_size: int, size: int, seed: int) -> list[tuple[int, int]]:
        """Return (epoch, index) of every example of a step: a pure function of its arguments."""

    @abstractmethod
    def accumulate(self, model: nn.Module, batch: Batch, loss: LossFn) -> Losses:
        """Add this micro-batch's gradient sum to every ``.grad``; return detached losses."""

    @abstractmethod
    def settle(self, parameters: Sequence[nn.Parameter], loss_sum: float, count: float) -> None:
        """Turn gradient sums into the gradient, once per step; ``count`` is over all ranks."""

    def cost(self, steps: int, batch_size: int, size: int) -> Mapping[str, float]:
        """Return what the training so far has cost (epsilon and delta, say)."""
        return {}


class Adapter(Component, ABC):
    """Makes a model trainable through few new parameters, or few of its own."""

    kind: ClassVar[str] = "adapters"

    @abstractmethod
    def apply(self, module: nn.Module) -> nn.Module:
        """Return the module with adapters in place and everything else frozen."""


class Objective(Component, ABC):
    """Wraps a loss into another one: denoising, adversarial, distillation."""

    kind: ClassVar[str] = "objectives"

    @abstractmethod
    def wrap(self, loss: LossFn) -> LossFn:
        """Return the new per-example loss."""


class Exporter(Component, ABC):
    """Writes a trained model in a format of the wider world."""

    kind: ClassVar[str] = "exporters"

    @abstractmethod
    def write(self, module: nn.Module, sample: Batch, model_folder: Path, path: Path) -> Report:
        """Write into the folder ``path``, check what was written, and report it.

        Args:
            module: The trained module, in evaluation mode.
            sample: A small batch of the task, for tracing and for the check.
            model_folder: The run's ``model/`` directory.
            path: An empty folder.
        """


class Tracker(Component, ABC):
    """Sends logged numbers to a viewer."""

    kind: ClassVar[str] = "trackers"

    @abstractmethod
    def start(self, folder: Path, name: str, config: Mapping[str, Any]) -> None:
        """Open the tracker for a run."""

    @abstractmethod
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the numbers of one step."""

    @abstractmethod
    def finish(self) -> None:
        """Flush and close."""


class Stage(Component, ABC):
    """A verb of the lifecycle: a function from a run to a run plus a report.

    Its fields are the recipe's section of the same name. ``run`` is a ``luban.run.Run``.
    """

    kind: ClassVar[str] = "stages"
    #: Stages whose reports this one builds on.
    needs: ClassVar[tuple[str, ...]] = ()
    #: Fields that change nothing about the result, so that they may change at any time.
    harmless: ClassVar[frozenset[str]] = frozenset()
    #: Whether ``luban run`` performs it even if the recipe has no section for it.
    always: ClassVar[bool] = False
    #: Whether it comes after all other stages and builds on all their reports.
    final: ClassVar[bool] = False
    #: Whether every rank of a distributed job performs it, or only the first.
    distributed: ClassVar[bool] = False

    def essence(self) -> dict[str, Any]:
        """Return the fields that the result depends on."""
        return {key: v for key, v in self.to_dict().items() if key not in self.harmless}

    @abstractmethod
    def perform(self, run: Any) -> None:
        """Do the work and write its files into the run; idempotent, safe to kill."""

    @abstractmethod
    def measure(self, run: Any) -> Report:
        """Compute the report from the run's own files; ``luban verify`` calls it again."""
