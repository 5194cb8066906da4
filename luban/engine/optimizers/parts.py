"""Several optimizers as one, each for parameters of some names."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer as TorchOptimizer

from luban.core.contracts import Optimizer
from luban.core.errors import RecipeError


class Parts(Optimizer):
    """Named parts of a module, each with an optimizer of its own.

    A parameter belongs to the first pattern that its name matches. The state is one, and so is
    the step: the loop sees a single optimizer.
    """

    parts: dict[str, Optimizer] = Field(
        min_length=1, description="Pattern of names (`generator.*`, `*`) to an optimizer."
    )

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> TorchOptimizer:
        """Return the optimizers as one.

        Raises:
            RecipeError: if a parameter has no part, or a part no parameter.
        """
        members: dict[str, list[tuple[str, nn.Parameter]]] = {key: [] for key in self.parts}
        for name, parameter in parameters:
            found = next((pattern for pattern in self.parts if fnmatch(name, pattern)), None)
            if found is None:
                raise _misfit(
                    f"no optimizer is given for {name!r}.", self.parts, "add a part for `*`."
                )
            members[found].append((name, parameter))
        for pattern, found_members in members.items():
            if not found_members:
                fix = f"the names are {', '.join(name for name, _ in parameters[:3])}, …"
                raise _misfit(f"nothing is left for {pattern!r}.", self.parts, fix)
        return _Together([self.parts[key].build(members[key]) for key in self.parts])


class _Together(TorchOptimizer):
    """Optimizers that share one state and one list of groups."""

    def __init__(self, members: Sequence[TorchOptimizer]) -> None:
        self._members: list[tuple[TorchOptimizer, str]] = []
        groups: list[dict[str, Any]] = []
        state: dict[Any, Any] = {}
        for number, member in enumerate(members):
            self._members.append((member, str(number)))
            groups += [{**group, "part": str(number)} for group in member.param_groups]
            state |= member.state
        super().__init__(groups, {})
        self.state.update(state)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for member, part in self._members:
            # Groups may have been split or read back since: they say whose they are.
            member.param_groups = [group for group in self.param_groups if group["part"] == part]
            member.state = self.state
            member.step()


def _misfit(what: str, parts: dict[str, Optimizer], fix: str) -> RecipeError:
    return RecipeError(what, where="train.optimizer.parts", got=", ".join(parts), fix=fix)
