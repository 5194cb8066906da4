"""Low-rank adaptation: each matrix learns a correction of few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from torch import nn

from luban.adapters._injected import inject, library, merged, save_peft, targets_in
from luban.core.contracts import Adapter, Model


class Lora(Adapter):
    """W x becomes W x + (lora_alpha / r) B A x, with A (r, in) and B (out, r), B zero at first.

    Hu et al. 2021 (2106.09685), by ``peft``. The head and what a pretrained start left fresh are
    trained too; the rest is frozen.
    """

    r: int = Field(default=8, ge=1, le=1_048_576, description="Rank of the correction.")
    lora_alpha: float = Field(default=16.0, gt=0, description="The correction is scaled by this/r.")
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] = Field(
        default=(), description="Ends of layer names; empty: every linear layer of the blocks."
    )
    use_dora: bool = Field(
        default=False,
        description="Learn length and direction apart (Liu et al. 2024, 2402.09353).",
    )
    use_rslora: bool = Field(
        default=False,
        description="Scale by lora_alpha / sqrt(r) (Kalajdzievski 2023, 2312.03732).",
    )

    def apply(self, module: nn.Module, fresh: Sequence[str] = ()) -> nn.Module:
        """Return the module with its matrices adapted and the rest frozen.

        Raises:
            RecipeError: if there is no such layer.
            MissingExtra: if ``peft`` is not installed.
        """
        config = library().LoraConfig(
            r=self.r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=targets_in(module, self.target_modules),
            use_dora=self.use_dora,
            use_rslora=self.use_rslora,
        )
        return inject(module, config, fresh)

    def merge(self, module: nn.Module) -> nn.Module:
        """Return the plain module whose matrices hold their corrections."""
        return merged(module)

    def save(self, module: nn.Module, model: Model, folder: Path) -> None:
        """Write a PEFT directory."""
        save_peft(module, model, folder)
