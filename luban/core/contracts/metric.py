"""Statistics of each example, and the figure that is computed from them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from luban.core.component import Component

if TYPE_CHECKING:
    import numpy as np


Statistics: TypeAlias = tuple[float, ...]  #: what a metric keeps of one example


class Metric(Component, ABC):
    """A row per example and a way to reduce rows, so intervals and ranks come for free."""

    kind: ClassVar[str] = "metrics"
    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = ""
    #: The lowest and the highest value it can have; intervals stay between them.
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    #: Whether its value depends on the number of rows even if their distribution is the same, so
    #: that its interval must come from leaving rows out, not from drawing rows twice.
    biased: ClassVar[bool] = False
    #: Whether the rows tell how precise its value is; else it has no interval.
    sampled: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """The name in reports; different for each setting a task may use side by side."""
        return self.name

    @property
    def best(self) -> float:
        """The best value there is; infinite where there is none."""
        return self.bounds[self.higher_is_better]

    @abstractmethod
    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return what must be kept of one example; the same length for each."""

    @abstractmethod
    def compute(self, rows: np.ndarray[Any, Any]) -> float:
        """Return the metric of rows (N, K), N >= 1, float64."""

    def undefined(self, rows: np.ndarray[Any, Any]) -> bool:
        """Return whether rows hold nothing to find, so that even perfect ones do not get the best.

        Args:
            rows: Rows (N, K), N >= 1.
        """
        return False

    def plot(self, axes: Any, rows: np.ndarray[Any, Any]) -> bool:
        """Draw rows (N, K) on matplotlib axes for the card; False: there is nothing to see."""
        return False

    def note(self, rows: np.ndarray[Any, Any]) -> str:
        """Return how the value of these rows was got, where that is not plain."""
        return ""
