"""Trained models in formats of the wider world, and what is written of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from luban.core.component import Component

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from luban.core.batch import Batch
    from luban.core.report import Report


@dataclass(frozen=True, slots=True)
class Product:
    """What exporters write of a trained model.

    Attributes:
        module: Its ``forward(**sample.inputs)`` gives a tensor, or a tuple of them.
        sample: A small batch, for tracing and for the check.
        outputs: The names of what ``forward`` gives, in order.
        meaning: What ``inference.json`` tells a program that has no Luban: how a record becomes
            inputs (``preprocessing``) and what outputs say (``postprocessing``); plain data.
        arrays: Numbers too many for JSON, by file name without ``.npy``.
        beyond: Why ``model/`` alone, without the program in ``module``, does not give the answers
            of ``predict``; empty if it does.
        note: A sentence for the card, if what is written is not the model itself.
    """

    module: nn.Module
    sample: Batch
    outputs: tuple[str, ...] = ("logits",)
    meaning: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    beyond: str = ""
    note: str = ""


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
