"""Any other method of the library ``peft`` that changes layers in place."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator
from torch import nn

from luban.adapters._injected import inject, library, merged, save_peft, targets_in
from luban.core.contracts import Adapter, Model
from luban.core.errors import RecipeError
from luban.nn.norms import RMSNorm

#: Methods that can be put in, trained, merged exactly and written: tests go through all of them.
METHODS = (
    "boft", "delora", "gralora", "hira", "hra", "ia3", "ln-tuning", "loha", "lokr", "oft",
)  # fmt: skip
_PROMPT = "it adds learned inputs instead of changing layers, so there is nothing to merge"
_SHARED = "its layers share parameters that plain injection cannot hold"
#: Why other methods do not fit.
UNFIT = {
    "lora": "it has an adapter of its own: train.adapter: lora",
    "adalora": "it moves ranks between layers at every step, which needs a loop of its own",
    "xlora": "it mixes several trained adapters",
    "poly": "it needs a task id with every example",
    "trainable-tokens": "it trains rows of the embedding; the adapter freeze can train all of it",
    "prompt-tuning": _PROMPT,
    "multitask-prompt-tuning": _PROMPT,
    "p-tuning": _PROMPT,
    "prefix-tuning": _PROMPT,
    "cpt": _PROMPT,
    "adaption-prompt": _PROMPT,
    "randlora": _SHARED,
    "vera": _SHARED,
    "pvera": _SHARED,
    "vblora": _SHARED,
    "unilora": _SHARED,
    "tinylora": _SHARED,
}


class Peft(Adapter):
    """A method by its name in ``peft``, with the fields of its configuration as ``options``."""

    method: str = Field(
        default="ia3", description="Its name in peft, such as ia3 (Liu et al. 2022, 2205.05638)."
    )
    target_modules: tuple[str, ...] = Field(
        default=(),
        description="Ends of layer names; empty: every linear layer (ln-tuning: norm) of blocks.",
    )
    options: dict[str, Any] = Field(
        default={}, description="Further fields of the method's configuration, by peft's names."
    )

    @field_validator("method")
    @classmethod
    def _fits(cls, method: str) -> str:
        name = method.lower().replace("_", "-")
        if name in UNFIT:
            raise ValueError(f"{name} does not fit here: {UNFIT[name]}")
        if name not in METHODS:
            raise ValueError(f"must be one of {', '.join(METHODS)}")
        return name

    def apply(self, module: nn.Module, fresh: Sequence[str] = ()) -> nn.Module:
        """Return the module with adapters in place and the rest frozen.

        Raises:
            RecipeError: if there is no such layer, or the method does not take the options.
            MissingExtra: if ``peft`` is not installed.
        """
        norms = (nn.LayerNorm, RMSNorm)
        kinds = norms if self.method == "ln-tuning" else (nn.Linear,)
        targets = targets_in(module, self.target_modules, kinds)
        with warnings.catch_warnings(action="ignore"):  # hints at kernels and at other models
            return inject(module, self._config(targets), fresh)

    def _config(self, targets: list[str]) -> Any:
        kind, kinds = self.method.replace("-", "_").upper(), library().PeftType.__members__
        try:
            config = library().mapping.PEFT_TYPE_TO_CONFIG_MAPPING[kinds[kind]]
            fields = {"target_modules": targets, **_listed(self.options)}
            if self.method == "ia3":  # by full names too; missing, peft takes its own models'
                ends = tuple(f".{end}" for end in fields.get("feedforward_modules", ()))
                fields["feedforward_modules"] = [n for n in targets if f".{n}".endswith(ends)]
            return config(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise RecipeError(
                f"peft's {self.method} cannot be made so ({error}).",
                where="train.adapter.options",
                got=self.options,
                fix="look up the method's configuration, and the version of peft installed.",
            ) from error

    def merge(self, module: nn.Module) -> nn.Module:
        """Return the plain module whose layers hold what was learned."""
        with warnings.catch_warnings(action="ignore"):
            return merged(module)

    def save(self, module: nn.Module, model: Model, folder: Path) -> None:
        """Write a PEFT directory."""
        save_peft(module, model, folder)


def _listed(value: Any) -> Any:
    """Return plain data with lists again, as peft writes and compares them."""
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, tuple) else value
