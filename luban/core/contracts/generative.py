"""What only tasks have whose models make things: of prompts, or on their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from luban.core.contracts.examples import Examples
from luban.core.contracts.metric import Metric

if TYPE_CHECKING:
    from torch import nn


class Generative(ABC):
    """Beside ``Task``: its model makes texts or images, which are served and measured.

    Evaluation measures ``samples`` beside ``references`` if there are ``sample_metrics``.
    """

    @abstractmethod
    def generator(self, model: nn.Module) -> Any:
        """Return what makes things of prompts.

        A ``luban.inference.text.TextGenerator``, or a ``luban.inference.images.ImageMaker``.
        """

    def samples(self, model: nn.Module, count: int, seed: int) -> list[Any]:
        """Return things that the model makes on its own."""
        return []

    def references(self, held_out: Examples, count: int, seed: int) -> list[Any]:
        """Return real, unseen things of the form that ``samples`` makes, to compare with."""
        return []

    def sample_baselines(
        self, held_out: Examples, count: int, seed: int
    ) -> Mapping[str, list[Any]]:
        """Return trivial things of that form by name, measured beside the samples."""
        return {}

    def sample_metrics(self, train: Examples) -> tuple[Metric, ...]:
        """Return metrics of samples; their ``statistics`` gets the sample and ``None``."""
        return ()


@runtime_checkable
class GenerationConfigured(Protocol):
    """Beside ``Task``: its answers are searched for, in a way that transformers can follow."""

    def generation_config(self) -> dict[str, Any]:
        """Return what ``generation_config.json`` says beside the special tokens."""
        ...
