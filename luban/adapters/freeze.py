"""Train a part of the model's own parameters: the last layers, the head, the biases."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import Field, model_validator
from safetensors.torch import save_file
from torch import nn

from luban.adapters._parts import names_elsewhere, new_parts, train_only
from luban.core.contracts import Adapter, Model
from luban.core.errors import RecipeError
from luban.engine.checkpoint import untied


class Freeze(Adapter):
    """Freezes the first layers, or all but the head, or all but the biases.

    The head, and what a pretrained start left fresh, are always trained.
    """

    layers: int | None = Field(
        default=None,
        ge=0,
        le=1_024,
        description="Freeze this many first blocks; nothing: everything but the head is frozen.",
    )
    stem: bool = Field(
        default=True, description="With `layers`: freeze what comes before the blocks too."
    )
    biases_only: bool = Field(
        default=False, description="Train every bias, nothing else (BitFit, 2106.10199)."
    )
    trainable: tuple[str, ...] = Field(
        default=(), description="Patterns of parameter names that are trained whatever else is."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Freeze:
        if self.biases_only and self.layers is not None:
            raise ValueError("biases_only and layers are two ways: give one of them")
        return self

    def apply(self, module: nn.Module, fresh: Sequence[str] = ()) -> nn.Module:
        """Return the module with the rest frozen.

        Raises:
            RecipeError: if there are fewer blocks, a pattern fits nothing, or nothing would train.
        """
        named = dict(module.named_parameters())
        for pattern in self.trainable:
            if not any(fnmatchcase(name, pattern) for name in named):
                raise RecipeError(
                    f"no parameter is called {pattern!r}.",
                    where="train.adapter.trainable",
                    expected=f"such as {next(iter(named))}",
                )
        chosen = [
            parameter
            for name, parameter in named.items()
            if any(fnmatchcase(name, pattern) for pattern in self.trainable)
            or (self.biases_only and name.rpartition(".")[2].startswith("bias"))
        ]
        if self.layers is not None:
            chosen += self._after(module, self.layers)
        chosen += new_parts(module, fresh)
        if not chosen:
            raise RecipeError(
                "nothing is left to train.",
                where="train.adapter",
                got="a model without a head of its own" + " or biases" * self.biases_only,
                fix="give `layers`, or name parameters in `trainable`.",
            )
        train_only(module, chosen)
        return module

    def _after(self, module: nn.Module, count: int) -> list[nn.Parameter]:
        """Return the parameters of later blocks, and what the module has after its blocks."""
        blocks = list(getattr(module, "blocks", ()))
        if count > len(blocks):
            raise RecipeError(
                "the model has fewer blocks.",
                where="train.adapter.layers",
                expected=f"at most {len(blocks)}",
                got=count,
            )
        order = list(module.parameters())
        inside = {id(p): at for at, block in enumerate(blocks) for p in block.parameters()}
        first = next((at for at, p in enumerate(order) if id(p) in inside), len(order))
        stem = {id(parameter) for parameter in module.get_submodule("stem").parameters()}
        return [
            parameter
            for at, parameter in enumerate(order)
            if inside.get(id(parameter), count) >= count
            and not (self.stem and (at < first or id(parameter) in stem))
        ]

    def merge(self, module: nn.Module) -> nn.Module:
        """Return the module, nothing frozen any more."""
        return module.requires_grad_(True)

    def save(self, module: nn.Module, model: Model, folder: Path) -> None:
        """Write what was trained as ``trained.safetensors``, by Hugging Face names where there."""
        tensors, trained = untied(module), dict(module.named_parameters())
        theirs = names_elsewhere(model, tensors)
        kept = {
            theirs.get(name, name): tensor.cpu().contiguous()
            for name, tensor in tensors.items()
            if name in trained and trained[name].requires_grad
        }
        save_file(kept, folder / "trained.safetensors", metadata={"format": "pt"})
