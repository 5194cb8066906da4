"""What tasks have whose predictions can be shown: as figures, or quoted as texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luban.core.contracts.examples import Example


class Illustrated:
    """Beside ``Task``: the card and ``luban predict --figures`` show its predictions.

    It overrides ``show``, ``describe`` or both; ``mistake`` lets the card show the worst.
    """

    def show(self, axes: Any, example: Example, prediction: Any, target: Any) -> bool:
        """Draw an example with its prediction on matplotlib axes; False: there is nothing to see.

        Args:
            axes: Empty axes, without ticks.
            example: As encoded; empty for what a generative model made.
            prediction: What ``predict`` gave for it, or one of ``samples``.
            target: What ``target`` gave; None where the answer is not known.
        """
        return False

    def describe(self, example: Example, prediction: Any, target: Any) -> Mapping[str, str]:
        """Return an example with its prediction as texts by name; empty: it is not one of words.

        The card quotes some. The arguments are those of ``show``.
        """
        return {}

    def mistake(self, prediction: Any, target: Any) -> float:
        """Return how wrong a prediction is, 0 for right: the worst are shown in the card."""
        return 0.0
