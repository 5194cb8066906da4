"""Notices when the loss jumps and stays up."""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from luban.core.errors import Diverged

_ADVICE = (
    "go on from the last checkpoint with a lower learning_rate (a third, say), a longer warmup"
    " (warmup_steps) or a tighter max_grad_norm."
)


@dataclass(slots=True)
class Guard:
    """Raises once the loss has been ``factor`` times the running median for ``patience`` steps.

    The median is over the last ``window`` steps that were not themselves high.
    """

    factor: float = 2.0
    patience: int = 20
    window: int = 100
    high: int = 0
    recent: deque[float] = field(default_factory=deque)

    def check(self, step: int, loss: float, grad_norm: float) -> None:
        """Look at one step's numbers before the step is applied.

        Raises:
            Diverged: if a number is not finite, or the loss has jumped and stayed up.
        """
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise Diverged(
                f"training left the finite numbers at step {step}; this step was not applied.",
                got=f"loss {loss}, gradient norm {grad_norm}",
                fix=_ADVICE,
            )
        median = statistics.median(self.recent) if len(self.recent) >= self.patience else math.inf
        if loss <= self.factor * abs(median):
            self.high = 0
            self.recent.append(loss)
            if len(self.recent) > self.window:
                self.recent.popleft()
            return
        self.high += 1
        if self.high >= self.patience:
            raise Diverged(
                f"the loss rose at step {step - self.patience + 1} and stayed up.",
                expected=f"below {self.factor:g} x the running median {median:.4g}",
                got=f"{loss:.4g} after {self.patience} steps",
                fix=_ADVICE,
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"high": self.high, "recent": list(self.recent)}

    def restore(self, data: dict[str, Any]) -> None:
        """Take back what ``to_dict`` returned."""
        self.high, self.recent = data["high"], deque(data["recent"])
