"""The kinds. Each is abstract; a component is a final class in a file of its own.

This file loads without torch: tensor types are for the type checker only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from luban.core.component import Component
from luban.core.contracts.data import (
    Augmentation,
    AugmentationContext,
    Cleaner,
    Example,
    Examples,
    Guess,
    Pool,
    Record,
    SetApart,
    Signature,
    Source,
    Tally,
    TargetSummary,
)
from luban.core.contracts.meaning import (
    Baseline,
    Metric,
    Model,
    Product,
    Recognises,
    Statistics,
    Task,
)
from luban.core.contracts.tokens import Tokenizer
from luban.core.special_tokens import SpecialTokenFrame

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer as TorchOptimizer

    from luban.core.batch import Batch, Losses, LossFn
    from luban.core.report import Report

__all__ = [
    "Adapter",
    "Augmentation",
    "AugmentationContext",
    "Baseline",
    "Cleaner",
    "Example",
    "Examples",
    "Exporter",
    "Guess",
    "Mechanism",
    "Metric",
    "Model",
    "Objective",
    "Optimizer",
    "Pool",
    "Product",
    "Recognises",
    "Record",
    "Schedule",
    "SetApart",
    "Signature",
    "Source",
    "SpecialTokenFrame",
    "Stage",
    "Statistics",
    "Tally",
    "TargetSummary",
    "Task",
    "Tokenizer",
    "Tracker",
]  # fmt: skip


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

    The loop asks ``sample_examples`` for the examples of a step, calls ``accumulate`` once per
    micro-batch, sums ``.grad`` and losses over ranks, then calls ``finish_gradient`` once.
    """

    kind: ClassVar[str] = "mechanisms"

    @abstractmethod
    def sample_examples(
        self, step: int, batch_size: int, pool: Pool, seed: int
    ) -> list[tuple[int, int]]:
        """Return (epoch, index) of every example of a step: a pure function of its arguments."""

    @abstractmethod
    def accumulate(self, model: nn.Module, batch: Batch, loss: LossFn) -> Losses:
        """Add this micro-batch's gradient sum to every ``.grad``; return detached losses."""

    @abstractmethod
    def finish_gradient(
        self, parameters: Sequence[nn.Parameter], loss_sum: float, count: float
    ) -> None:
        """Turn gradient sums into the gradient, once per step; ``count`` is over all ranks."""

    def cost(self, steps: int, batch_size: int, size: int) -> Mapping[str, float]:
        """Return what the training so far has cost (epsilon and delta, say)."""
        return {}


class Adapter(Component, ABC):
    """Makes a model trainable through few new parameters, or few of its own."""

    kind: ClassVar[str] = "adapters"

    @abstractmethod
    def apply(self, module: nn.Module, fresh: Sequence[str] = ()) -> nn.Module:
        """Return the module with adapters in place and everything else frozen.

        Args:
            module: Changed in place.
            fresh: Parameters that a pretrained start left fresh: they stay trainable.
        """

    def merge(self, module: nn.Module) -> nn.Module:
        """Return a plain module of the original structure that computes the same outputs."""
        return module

    def save(self, module: nn.Module, model: Model, folder: Path) -> None:
        """Write what was trained, apart from the base model, into ``folder`` (before ``merge``)."""


class Objective(Component, ABC):
    """Wraps a loss into another one: denoising, adversarial, distillation."""

    kind: ClassVar[str] = "objectives"

    def attach(self, module: nn.Module, task: Task) -> None:
        """Add trainable parts to ``module.auxiliary``, an ``nn.ModuleDict``, if any are needed.

        They are trained and kept in checkpoints, and never reach ``model/``.
        """

    @abstractmethod
    def wrap(self, loss: LossFn, task: Task) -> LossFn:
        """Return the new per-example loss; its counts stay those of ``loss``.

        What is random draws from torch's global generator, which the loop seeds each step.
        """

    def told(self, task: Task) -> str:
        """Return what the card should say of the data that the objective reads; empty: of none.

        Args:
            task: The main task; it has learned.
        """
        return ""


class Exporter(Component, ABC):
    """Writes a trained model in a format of the wider world."""

    kind: ClassVar[str] = "exporters"

    @abstractmethod
    def write(self, product: Product, model_folder: Path, path: Path) -> Report:
        """Write into the folder ``path``, check what was written, and report it.

        Args:
            product: The trained module, a batch to trace it with, and what its numbers mean.
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
    neutral_fields: ClassVar[frozenset[str]] = frozenset()
    #: Whether ``luban run`` performs it even if the recipe has no section for it.
    always: ClassVar[bool] = False
    #: Whether it comes after all other stages and builds on all their reports.
    final: ClassVar[bool] = False
    #: Whether every rank of a distributed job performs it, or only the first.
    distributed: ClassVar[bool] = False

    def result_fields(self) -> dict[str, Any]:
        """Return the fields that the result depends on."""
        return {key: v for key, v in self.to_dict().items() if key not in self.neutral_fields}

    def rests_on(self, run: Any) -> dict[str, str]:
        """Return digests of what the result depends on outside of the recipe and its data."""
        return {}

    @abstractmethod
    def perform(self, run: Any) -> None:
        """Do the work and write its files into the run; idempotent, safe to kill."""

    def finished(self, run: Any) -> bool:
        """Return whether what was reported is all there was to do: no part was broken off."""
        return True

    def end_early(self, run: Any) -> bool:
        """End work that was broken off as it is, for stages that build on it; False: it was not."""
        return False

    @abstractmethod
    def measure(self, run: Any) -> Report:
        """Compute the report from the run's own files; ``luban verify`` calls it again."""
