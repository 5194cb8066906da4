"""Learn to rebuild what was hidden in the input, beside the task.

Shapes: B examples, T positions.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from luban.core.batch import Batch, Losses, LossFn
from luban.core.contracts import Objective, Signature, Task
from luban.core.errors import RecipeError
from luban.nn.losses import IGNORE, cross_entropy
from luban.objectives._parts import added, features_of, real_positions

_HERE = "train.objectives.denoising"
_ROLES = ("pad", "end", "start", "separator", "mask")


class Denoising(Objective):
    """Adds the loss of an autoencoder over a damaged input.

    Encoders rebuild the hidden tokens from their features with the embedding as output matrix
    (masked language modelling, Devlin et al. 2018, 1810.04805). Encoder-decoders read the damaged
    source and write the whole one (BART, Lewis et al. 2019, 1910.13461). Models that look back
    only do their own task on a damaged input (word dropout, Bowman et al. 2015, 1511.06349).
    """

    noise: Literal["mask", "span", "delete"] = Field(
        default="mask",
        description=(
            "Hide single tokens, or spans (an encoder-decoder sees one mask for a whole span), or "
            "leave tokens out (encoder-decoders only)."
        ),
    )
    rate: float = Field(default=0.15, gt=0, lt=1, description="Share of the tokens hidden.")
    mean_span: float = Field(default=3.0, ge=1, description="Mean length of spans (Poisson).")
    weight: float = Field(default=0.5, gt=0, description="Of the added loss, per unit counted.")

    def attach(self, module: nn.Module, task: Task) -> None:
        """Add nothing: the parts are the model's own.

        Raises:
            RecipeError: if the model or the task does not have what this needs.
        """
        signature = task.signature()
        if signature.accepts != "tokens":
            raise RecipeError("there are no tokens to hide.", where=_HERE, got=signature.accepts)
        if self.noise == "delete" and signature.produces != "sequence":
            raise RecipeError(
                "positions of input and output must agree unless a decoder writes the output.",
                where=f"{_HERE}.noise",
                expected="mask or span",
                got="delete",
            )
        if signature.produces not in ("next", "sequence"):
            _check_tied(module)
        elif signature.produces == "sequence" and signature.start is None:
            raise RecipeError("the tokenizer has no start token for the decoder.", where=_HERE)

    def wrap(self, loss: LossFn, task: Task) -> LossFn:
        """Return the loss plus the weighted loss of rebuilding."""
        signature, protected = task.signature(), _specials(task)

        def wrapped(model: nn.Module, batch: Batch) -> Losses:
            main = loss(model, batch)
            hidden = self.hide(batch, protected)
            if signature.produces == "sequence":
                extra = _rewritten(model, self.damaged(batch, hidden, signature), batch, signature)
            elif signature.produces == "next":
                extra = task.loss(model, _replaced(batch, hidden, signature))
            else:
                extra = _recovered(model, _replaced(batch, hidden, signature), batch, hidden)
            return added(main, extra, self.weight)

        return wrapped

    def hide(self, batch: Batch, protected: Tensor) -> Tensor:
        """Return which positions are hidden, bool (B, T): at least one where there is a token."""
        ids = batch.inputs["input_ids"]
        may = real_positions(batch, ids.shape) & ~torch.isin(ids, protected.to(ids.device))
        chance = torch.rand(ids.shape, device=ids.device)
        first = F.one_hot(chance.where(may, 2.0).argmin(1), ids.shape[1]).bool()
        if self.noise != "span":
            return ((chance < self.rate) | first) & may
        # A span begins wherever chance says so, and reaches as far as Poisson says.
        length = torch.poisson(torch.full_like(chance, self.mean_span)).clamp(min=1)
        place = torch.arange(ids.shape[1], device=ids.device)
        begins = (chance < self.rate / self.mean_span) | first
        reach = (place + length).where(begins, 0).cummax(1).values
        return (reach > place) & may

    def damaged(self, batch: Batch, hidden: Tensor, signature: Signature) -> dict[str, Tensor]:
        """Return ids and mask of the damaged source: hidden tokens masked, joined or left out."""
        ids = _replaced(batch, hidden, signature).inputs["input_ids"]
        keep = real_positions(batch, ids.shape)
        if self.noise == "delete":
            keep = keep & ~hidden
        elif self.noise == "span":
            keep = keep & ~(hidden & F.pad(hidden, (1, -1)))
        order = (~keep).int().argsort(dim=1, stable=True)
        longest = max(1, int(keep.sum(1).max()))
        kept = keep.gather(1, order)[:, :longest]
        pad = 0 if signature.pad is None else signature.pad
        return {
            "input_ids": ids.gather(1, order)[:, :longest].where(kept, pad),
            "attention_mask": kept.to(torch.int64),
        }


def _check_tied(module: nn.Module) -> None:
    """Refuse a module whose features and embedding do not fit together."""
    weight = getattr(module.get_submodule("stem"), "weight", None)
    if not hasattr(module, "features") or not isinstance(weight, Tensor) or weight.dim() != 2:
        raise RecipeError(
            "this model has no features of its positions to rebuild tokens from.",
            where=_HERE,
            expected="a module with features(**inputs) and an embedding as stem",
        )
    mode = module.training
    with torch.no_grad():
        ids = torch.zeros(1, 4, dtype=torch.int64, device=weight.device)
        mask = torch.ones_like(ids)
        given = Batch({"input_ids": ids, "attention_mask": mask}, {})
        width = features_of(module.eval(), given).shape[-1]
    module.train(mode)
    if width != weight.shape[1]:
        raise RecipeError(
            "features and embedding have different widths, so the embedding cannot be the output.",
            where=_HERE,
            expected=f"features as wide as the embedding, {weight.shape[1]}",
            got=width,
            fix="make the model's embedding as wide as what comes out of its layers.",
        )


def _specials(task: Task) -> Tensor:
    """Return the ids that are never hidden."""
    signature, tokenizer = task.signature(), getattr(task, "tokenizer", None)
    found: set[Any] = {signature.pad, signature.end, signature.start, signature.mask}
    if tokenizer is not None:
        found |= {tokenizer.special(role) for role in _ROLES}
    return torch.tensor(sorted(found - {None}), dtype=torch.int64)


def _replaced(batch: Batch, hidden: Tensor, signature: Signature) -> Batch:
    """Return the batch with masks (without such a token: random ones) for the hidden tokens."""
    ids = batch.inputs["input_ids"]
    new = (
        torch.randint_like(ids, signature.inputs)
        if signature.mask is None
        else torch.full_like(ids, signature.mask)
    )
    return Batch({**batch.inputs, "input_ids": new.where(hidden, ids)}, batch.targets)


def _recovered(model: nn.Module, damaged: Batch, clean: Batch, hidden: Tensor) -> Losses:
    """Return the cross-entropy of the hidden tokens, from features times the embedding."""
    weight: Tensor = model.get_submodule("stem").weight  # type: ignore[assignment]
    logits = F.linear(features_of(model, damaged), weight)
    return cross_entropy(logits, clean.inputs["input_ids"].where(hidden, IGNORE))


def _rewritten(
    model: nn.Module, damaged: dict[str, Tensor], clean: Batch, signature: Signature
) -> Losses:
    """Return the cross-entropy of the whole source, written by the decoder."""
    ids = clean.inputs["input_ids"]
    real = real_positions(clean, ids.shape)
    started = F.pad(ids[:, :-1], (1, 0), value=signature.start or 0)
    return cross_entropy(model(**damaged, decoder_input_ids=started), ids.where(real, IGNORE))
