"""What training is made of beside task and model: optimizers, schedules, objectives, adapters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from luban.core.component import Component
from luban.core.contracts.examples import Pool
from luban.core.contracts.model import Model
from luban.core.contracts.task import Task

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer as TorchOptimizer

    from luban.core.batch import Batch, Losses, LossFn


class Optimizer(Component, ABC):
    """How a gradient becomes a step."""

    kind: ClassVar[str] = "optimizers"

    @abstractmethod
    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> TorchOptimizer:
        """Return the optimizer over named trainable parameters.

        Every group has ``initial_lr``; the loop sets ``lr = initial_lr * schedule.factor``, and
        ``precision``, the name of what the run's products are computed in: one that multiplies
        matrices itself does so in that.
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
