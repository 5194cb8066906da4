"""Learn to answer the same when the input's embeddings are pushed the worst way.

Shapes: B examples, T positions, D width of the stem.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from luban.core.batch import Batch, Losses, LossFn
from luban.core.contracts import Objective, Signature, Task
from luban.objectives._parts import (
    Dice,
    added,
    disturbed,
    divergence,
    logits_of,
    outputs_of,
    real_positions,
    refuse_without_classes,
)

#: A loss sum of the batch, given what is added to the stem's outputs.
Probe: TypeAlias = Callable[[list[Tensor]], Tensor]


class Adversarial(Objective):
    """Adds the loss at the stem's output e plus a perturbation r, |r| = epsilon |e| per example.

    ``fgm``: r along the loss's gradient g, r = epsilon |e| g / |g| (Miyato et al. 2017,
    1605.07725). ``pgd``: several smaller steps along the gradient, each projected back into the
    ball (Madry et al. 2018, 1706.06083), from r = 0. ``vat``: r where the prediction changes most,
    found by power iteration, and the loss is KL(p(e) || p(e + r)), which needs no labels (Miyato et
    al. 2018, 1704.03976). Norms run over all real positions of an example; the same units drop out
    in every pass.
    """

    method: Literal["fgm", "pgd", "vat"] = "fgm"
    weight: float = Field(default=1.0, gt=0, description="Of the added loss, per unit counted.")
    epsilon: float = Field(
        default=0.05, gt=0, description="Length of the perturbation, as a share of |e|."
    )
    steps: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000_000,
        description="Gradient steps; nothing: 3 (pgd) or 1 (vat).",
    )

    @model_validator(mode="after")
    def _fgm_is_one_step(self) -> Adversarial:
        if self.method == "fgm" and self.steps not in (None, 1):
            raise ValueError("fgm is one step; several are method: pgd")
        return self

    def attach(self, module: nn.Module, task: Task) -> None:
        """Add nothing.

        Raises:
            RecipeError: if ``vat`` is asked of a task without classes.
        """
        if self.method == "vat":
            refuse_without_classes(task.signature(), "train.objectives.adversarial")

    def wrap(self, loss: LossFn, task: Task) -> LossFn:
        """Return the loss plus the weighted loss under perturbation."""
        signature = task.signature()

        def wrapped(model: nn.Module, batch: Batch) -> Losses:
            act = self._virtual if self.method == "vat" else self._supervised
            return act(loss, model, batch, signature)

        return wrapped

    def _supervised(self, loss: LossFn, model: nn.Module, batch: Batch, _: Signature) -> Losses:
        dice, steps = Dice.now(), (self.steps or 3) if self.method == "pgd" else 1
        with disturbed(model) as stem:
            main = loss(model, batch)
        radii = self._radii(stem.outputs, batch)
        slopes = _slopes(main.sums.sum(), stem.offsets, batch, keep=True)
        pushed = _steps(None, slopes, radii, steps)
        for _step in range(1, steps):
            with dice.again(), disturbed(model, _wanting(pushed)) as stem:
                slopes = _slopes(loss(model, batch).sums.sum(), stem.offsets, batch)
            pushed = _steps(pushed, slopes, radii, steps)
        with dice.again(), disturbed(model, pushed):
            return added(main, loss(model, batch), self.weight)

    def _virtual(
        self, loss: LossFn, model: nn.Module, batch: Batch, signature: Signature
    ) -> Losses:
        dice = Dice.now()
        with disturbed(model) as stem, outputs_of(model) as outputs:
            main = loss(model, batch)
        clean = outputs[0] if outputs else logits_of(model, batch)
        seen = stem.outputs[: 2 if signature.produces == "sequence" else 1]  # calls of one pass
        radii = self._radii(seen, batch)
        found = [torch.randn_like(e) * _shaped(_real(batch, e, i), e) for i, e in enumerate(seen)]
        for _step in range(self.steps or 1):
            # Far enough that single precision sees a difference, near enough for a quadratic.
            probe = _wanting([0.1 * r for r in _scaled(found, radii)])
            with dice.again(), disturbed(model, probe) as stem:
                moved = divergence(clean, logits_of(model, batch), batch, signature)
            found = _slopes(moved.sums.sum(), stem.offsets[: len(seen)], batch)
        with dice.again(), disturbed(model, _scaled(found, radii)):
            moved = divergence(clean, logits_of(model, batch), batch, signature)
        return added(main, moved, self.weight)

    def _radii(self, outputs: list[Tensor], batch: Batch) -> list[Tensor]:
        """Return epsilon |e| of each example, (B,), for each call of the stem."""
        return [
            self.epsilon * _norm(e.float() * _shaped(_real(batch, e, at), e))
            for at, e in enumerate(outputs)
        ]


def _real(batch: Batch, output: Tensor, call: int) -> Tensor | None:
    return real_positions(batch, output.shape, call) if output.dim() == 3 else None


def _shaped(mask: Tensor | None, output: Tensor) -> Tensor:
    return output.new_ones(()) if mask is None else mask[..., None].to(output.dtype)


def _norm(x: Tensor) -> Tensor:
    """Return the Euclidean norm of each example, (B,)."""
    norms: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return norms


def _scaled(directions: list[Tensor], lengths: list[Tensor]) -> list[Tensor]:
    """Return vectors of these directions with these lengths; a direction of zero stays zero."""
    return [
        d * (length / _norm(d).clamp(min=torch.finfo(d.dtype).tiny)).view(-1, *[1] * (d.dim() - 1))
        for d, length in zip(directions, lengths, strict=True)
    ]


def _steps(
    at: list[Tensor] | None, slopes: list[Tensor], radii: list[Tensor], steps: int
) -> list[Tensor]:
    """Return the perturbation after one more of ``steps`` steps, inside the ball."""
    if steps == 1:
        return _scaled(slopes, radii)
    moved = _scaled(slopes, [2.5 / steps * radius for radius in radii])
    if at is not None:
        moved = [r + step for r, step in zip(at, moved, strict=True)]
    norms = [_norm(r) for r in moved]
    return _scaled(moved, [torch.minimum(n, r) for n, r in zip(norms, radii, strict=True)])


def _wanting(offsets: list[Tensor]) -> list[Tensor]:
    return [offset.detach().requires_grad_() for offset in offsets]


def _slopes(
    total: Tensor, offsets: list[Tensor], batch: Batch, *, keep: bool = False
) -> list[Tensor]:
    """Return the gradient with respect to each offset, zero at padding and without an effect."""
    found = torch.autograd.grad(
        total, offsets, retain_graph=keep, allow_unused=True, materialize_grads=True
    )
    return [slope * _shaped(_real(batch, slope, at), slope) for at, slope in enumerate(found)]
