"""How long to train."""

from __future__ import annotations

import math
from dataclasses import dataclass

from luban.core.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds on training; the first one reached ends it. At least one is needed.

    Attributes:
        max_steps: Optimizer steps; 0: none at all.
        num_train_epochs: Passes over the training examples.
        max_tokens: Positions (or examples) that carried a loss.
        max_minutes: Minutes spent training; validation and saving do not count. The learning
            rate then follows the clock, so two runs are not equal bit for bit.
    """

    max_steps: int | None = None
    num_train_epochs: float | None = None
    max_tokens: int | None = None
    max_minutes: float | None = None

    def __post_init__(self) -> None:
        bounds = (self.max_steps, self.num_train_epochs, self.max_tokens, self.max_minutes)
        given = [bound for bound in bounds if bound is not None]
        if self.max_steps != 0 and (not given or min(given) <= 0):
            raise RecipeError(
                "training needs a bound.",
                expected="a positive max_steps, num_train_epochs, max_tokens or max_minutes",
                got=self,
                fix="set max_steps: 1000, say.",
            )

    def in_steps(self, batch_size: int, size: int) -> Budget:
        """Return the same budget with epochs over ``size`` examples counted in steps."""
        if self.num_train_epochs is None:
            return self
        steps = math.ceil(self.num_train_epochs * size / batch_size)
        if self.max_steps is not None:
            steps = min(steps, self.max_steps)
        return Budget(steps, None, self.max_tokens, self.max_minutes)

    def progress(self, step: int, tokens: int, seconds: float) -> float:
        """Return the largest share used of any bound; 1 or more means done.

        Raises:
            RecipeError: if epochs were not yet turned into steps by ``in_steps``.
        """
        if self.num_train_epochs is not None:
            raise RecipeError("call in_steps first: an epoch has no length by itself.")
        if self.max_steps == 0:
            return 1.0
        shares = (
            step / self.max_steps if self.max_steps else 0.0,
            tokens / self.max_tokens if self.max_tokens else 0.0,
            seconds / (60 * self.max_minutes) if self.max_minutes else 0.0,
        )
        return max(shares)
