"""Notices when the loss leaves the finite numbers, or jumps and stays up."""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from luban.core.errors import Diverged

_ADVICE = (
    "a lower learning_rate (a third, say), a longer warmup (warmup_steps) or a tighter"
    " max_grad_norm."
)
_FIRST = 5  #: losses whose median is the initial loss
_NORMAL = 1.4826  #: standard deviations of a normal law in its median absolute value


@dataclass(slots=True)
class Guard:
    """Raises once the loss has been high for ``patience`` steps in a row.

    High is a loss that has risen above the running median of the last ``window`` losses that were
    not themselves high, by three measures at once:

    - it is more than ``factor`` times the median,
    - it has risen by more than ``noise`` robust standard deviations of a batch's loss (from the
      median change between neighbours, which a trend hardly touches), so that batches that differ
      are no divergence,
    - it has risen by more than ``share`` of the initial loss, so that a loss near 0 may double: the
      model has learned its data by heart then, and nothing is lost.

    Attributes:
        high: How many of the last steps were high.
        first: The first losses, from which the initial one is taken.
        recent: The last losses that were not high.
    """

    factor: float = 2.0
    patience: int = 20
    window: int = 100
    noise: float = 6.0
    share: float = 0.1
    high: int = 0
    first: list[float] = field(default_factory=list)
    recent: deque[float] = field(default_factory=deque)

    def check(self, step: int, loss: float, grad_norm: float) -> None:
        """Look at one step's numbers before the step is applied.

        Args:
            step: Steps applied so far.
            loss: The loss of the weights that these steps made.
            grad_norm: Norm of its gradient.

        Raises:
            Diverged: if a number is not finite, or the loss has jumped and stayed up.
        """
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise Diverged(
                f"training left the finite numbers at step {step}; this step was not applied.",
                got=f"loss {loss}, gradient norm {grad_norm}",
                fix=_ADVICE,
                began=step - self.high,
                before=statistics.median(self.recent) if self.recent else math.nan,
                after=math.nan,  # where only the gradient is not finite, the loss tells nothing
            )
        if len(self.first) < _FIRST:
            self.first.append(loss)
        if not self._is_high(loss):
            self.high = 0
            self.recent.append(loss)
            if len(self.recent) > self.window:
                self.recent.popleft()
            return
        self.high += 1
        if self.high >= self.patience:
            before = statistics.median(self.recent)
            raise Diverged(
                f"the loss rose at step {step - self.patience + 1} and stayed up.",
                expected=f"below {self.factor:g} x the running median {before:.4g}",
                got=f"{loss:.4g} after {self.patience} steps",
                fix=_ADVICE,
                began=step - self.patience + 1,
                before=before,
                after=loss,
            )

    def _is_high(self, loss: float) -> bool:
        if len(self.recent) < self.patience:
            return False
        median = statistics.median(self.recent)
        changes = (abs(after - before) for before, after in pairwise(self.recent))
        deviation = _NORMAL * statistics.median(changes) / math.sqrt(2)
        initial = abs(statistics.median(self.first))
        rise = loss - median
        return (
            loss > self.factor * abs(median)
            and rise > self.noise * deviation
            and rise > self.share * initial
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"high": self.high, "first": list(self.first), "recent": list(self.recent)}

    def restore(self, data: dict[str, Any]) -> None:
        """Take back what ``to_dict`` returned."""
        self.high, self.first = data["high"], list(data["first"])
        self.recent = deque(data["recent"])
