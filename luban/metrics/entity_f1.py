"""Whole entities found: their type, first and last place all right."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from luban.core.contracts import Metric, Statistics


class EntityF1(Metric):
    """Precision, recall or their harmonic mean over entities of all texts together.

    An entity counts as found only if type, start and end are all right: seqeval's strict mode,
    micro average. What divides by zero is 0, as in seqeval.
    """

    score: Literal["f1", "precision", "recall"] = "f1"
    type: str = Field(default="", description="Count entities of this type only.")
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def label(self) -> str:
        """The score and the type: ``entity-f1``, ``entity-recall (person)``."""
        return f"entity-{self.score}" + (f" ({self.type})" if self.type else "")

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return how many entities were found, predicted and expected."""
        said, true = self._entities(prediction), self._entities(target)
        return float(len(said & true)), float(len(said)), float(len(true))

    def compute(self, statistics: np.ndarray[Any, Any]) -> float:
        """Return found over predicted, found over expected, or twice found over their sum."""
        found, predicted, expected = (float(total) for total in statistics.sum(0))
        parts = {
            "precision": (found, predicted),
            "recall": (found, expected),
            "f1": (2 * found, predicted + expected),
        }
        share, whole = parts[self.score]
        return share / whole if whole else 0.0

    def undefined(self, statistics: np.ndarray[Any, Any]) -> bool:
        """Return whether no entity is expected."""
        return not statistics[:, 2].any()

    def _entities(self, answer: Any) -> set[tuple[str, int, int]]:
        return {
            (entity["type"], entity["start"], entity["end"])
            for entity in answer["entities"]
            if self.type in ("", entity["type"])
        }
