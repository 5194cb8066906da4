"""The configuration of an architecture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from luban.core.component import Component
from luban.core.contracts.signature import Signature
from luban.core.errors import RecipeError

if TYPE_CHECKING:
    from torch import Tensor, nn


class Model(Component, ABC):
    """The configuration of an architecture; ``build`` returns a plain ``nn.Module``.

    The module returns logits (B, ..., outputs) from ``forward(**batch.inputs)`` and names its
    parts: ``stem`` (the layer whose output explanations and adversaries touch), ``blocks`` (a
    ``ModuleList``, first to last; it may be empty), ``head`` (what a pretrained start leaves
    fresh; None if it has none of its own). Where it makes sense it has ``features(**inputs)``:
    what the head sees, (B, T, D).
    """

    kind: ClassVar[str] = "models"
    outside: ClassVar[tuple[str, ...]] = ("pretrained",)
    #: What goes in and what comes out (``Signature.accepts`` and ``Signature.produces``).
    accepts: ClassVar[tuple[str, ...]] = ()
    produces: ClassVar[tuple[str, ...]] = ("next",)

    @abstractmethod
    def build(self, signature: Signature) -> nn.Module:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the model cannot take what the task gives.
        """

    def resolve(self) -> Self:
        """Return this model with every field that a pretrained directory decides filled in."""
        return self

    def fits(self, signature: Signature) -> bool:
        """Return whether this model takes and gives what a task asks for."""
        return signature.accepts in self.accepts and signature.produces in self.produces

    def check(self, signature: Signature) -> None:
        """Refuse a task this model is not made for; ``build`` calls it first.

        Raises:
            RecipeError: saying what the model takes and gives.
        """
        if not self.fits(signature):
            raise RecipeError(
                f"the {self.name} model is not made for this task.",
                where="model",
                expected=f"a task over {' or '.join(self.accepts)} "
                f"that asks for {' or '.join(self.produces)}",
                got=f"one over {signature.accepts} that asks for {signature.produces}",
                fix="see `luban list models`.",
            )

    def start(self, module: nn.Module) -> tuple[str, ...]:
        """Load the weights that training starts from, if there are any, into a fresh module.

        Returns:
            The names of parameters that stayed fresh although others were loaded.

        Raises:
            RecipeError: if the weights do not fit.
        """
        return ()

    def hf_config(self, signature: Signature) -> dict[str, Any]:
        """Return ``config.json``: a Hugging Face one where an equivalent exists."""
        return {"model_type": f"luban-{self.name}", **self.to_dict()}

    def to_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors under their Hugging Face names and layouts."""
        return dict(tensors)

    def from_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors from Hugging Face's: the inverse of ``to_hf``."""
        return dict(tensors)

    def flops_per_token(self, signature: Signature, parameters: int) -> float:
        """Return training FLOP per position: a token, or a whole example that has none.

        Six per parameter (Kaplan et al. 2020, 2001.08361) unless weights are used many times.
        """
        return 6.0 * parameters
