"""What objectives share: adding losses, real positions, divergences, looking into a forward pass.

Shapes: B examples, T positions, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import Signature
from luban.core.errors import RecipeError
from luban.nn.losses import IGNORE, WithAuxiliary


def added(main: Losses, extra: Losses, weight: float) -> Losses:
    """Return main.sums + weight * main.counts * mean of extra, example by example.

    So one counted unit of the task is worth as much as before, and ``counts`` do not change. An
    example where ``extra`` counts nothing keeps its loss.
    """
    mean = extra.sums / extra.counts.clamp(min=1)
    return Losses(main.sums + weight * main.counts * mean, main.counts)


def real_positions(batch: Batch, shape: torch.Size, call: int = 0) -> Tensor:
    """Return which positions (B, T) are no padding, bool.

    Where the model reads no mask, padding is on the right of what is supervised, as causal models
    have it; with neither mask nor labels of this shape, every position is real.

    Args:
        batch: What the model reads.
        shape: Begins with (B, T).
        call: 0 for the first sequence the stem reads, 1 for a decoder's.
    """
    mask = batch.inputs.get("decoder_attention_mask" if call else "attention_mask")
    if mask is not None and mask.shape == shape[:2]:
        return mask.bool()
    supervised = supervised_positions(batch, shape)
    if supervised is None:
        ids = next(iter(batch.inputs.values()))
        return torch.ones(shape[:2], dtype=torch.bool, device=ids.device)
    return supervised.flip(1).cumsum(1).flip(1) > 0


def supervised_positions(batch: Batch, shape: torch.Size) -> Tensor | None:
    """Return which positions (B, T) carry a label, bool; None if labels have another shape."""
    labels = batch.targets.get("labels")
    if labels is None or labels.shape != shape[:2] or labels.is_floating_point():
        return None
    return labels != IGNORE


def refuse_without_classes(signature: Signature, where: str) -> None:
    """Refuse a task whose logits are no probabilities.

    Raises:
        RecipeError: for a regression.
    """
    if signature.problem == "regression":
        raise RecipeError(
            "this compares probabilities, and a regression has none.",
            where=where,
            expected="a task with classes",
        )


def divergence(
    wanted: Tensor, logits: Tensor, batch: Batch, signature: Signature, temperature: float = 1.0
) -> Losses:
    """Return KL(p || q) of each example, p = softmax(wanted / T), q = softmax(logits / T).

    The sums run over the positions that carry a label (where labels have no positions, over those
    that are no padding); of several labels each is a yes or no; a span's beginning and end are
    distributions over positions.

    Args:
        wanted: Logits of p, no gradient flows into them.
        logits: Logits of q, of the same shape.
        batch: Where they come from.
        signature: What they mean.
        temperature: T.
    """
    p, q = wanted.detach().float() / temperature, logits.float() / temperature
    if signature.problem == "multi_label_classification":
        p, q = (torch.stack([F.logsigmoid(z), F.logsigmoid(-z)], -1) for z in (p, q))
        return _summed(F.kl_div(q, p, reduction="none", log_target=True).sum(-1), None)
    if signature.produces == "span":
        real = real_positions(batch, p.shape)[..., None]
        p, q = (z.masked_fill(~real, -1e9).log_softmax(1) for z in (p, q))
        each = F.kl_div(q, p, reduction="none", log_target=True).where(real, 0).sum(1)
        return _summed(each, None)
    each = F.kl_div(q.log_softmax(-1), p.log_softmax(-1), reduction="none", log_target=True)
    each = each.sum(-1)
    if signature.produces == "label":
        return _summed(each[:, None], None)
    counted = supervised_positions(batch, each.shape)
    return _summed(each, real_positions(batch, each.shape) if counted is None else counted)


def _summed(each: Tensor, mask: Tensor | None) -> Losses:
    if mask is None:
        return Losses(each.sum(1), each.new_full((len(each),), float(each.shape[1])))
    return Losses(each.where(mask, 0).sum(1), mask.sum(1).to(each.dtype))


def features_of(module: nn.Module, batch: Batch) -> Tensor:
    """Return what the module's head sees, (B, T, D)."""
    found: Tensor = module.features(**batch.inputs)  # type: ignore[operator]
    return found


def logits_of(module: nn.Module, batch: Batch) -> Tensor:
    """Return the module's logits, without those of an auxiliary classifier."""
    return _main(module(**batch.inputs))


def _main(output: Tensor | WithAuxiliary) -> Tensor:
    return output.logits if isinstance(output, WithAuxiliary) else output


@contextmanager
def outputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Give the list that the logits of every call of the module go into for a while."""
    found: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor | WithAuxiliary) -> None:
        found.append(_main(output))

    handle = module.register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()


@dataclass(slots=True)
class Stem:
    """What the stem puts out, call by call, and what is added to it.

    Attributes:
        outputs: The stem's own outputs, without what was added.
        offsets: What is added to each; where there is none yet, zeros that want a gradient.
    """

    outputs: list[Tensor] = field(default_factory=list)
    offsets: list[Tensor] = field(default_factory=list)

    def __call__(self, _: nn.Module, __: object, output: Tensor) -> Tensor:
        """Add: the hook."""
        at = len(self.outputs)
        self.outputs.append(output.detach())
        if at == len(self.offsets):
            self.offsets.append(torch.zeros_like(output, requires_grad=True))
        return output + self.offsets[at]


@contextmanager
def disturbed(module: nn.Module, offsets: list[Tensor] | None = None) -> Iterator[Stem]:
    """Add offsets to the outputs of ``module.stem`` for a while, in the order of its calls."""
    stem = Stem(offsets=list(offsets or ()))
    handle = module.get_submodule("stem").register_forward_hook(stem)
    try:
        yield stem
    finally:
        handle.remove()


@dataclass(frozen=True, slots=True)
class Dice:
    """A state of torch's random generators, to throw the same dice again."""

    cpu: Tensor
    cuda: Tensor | None

    @classmethod
    def now(cls) -> Dice:
        """Return the present state."""
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
        return cls(torch.get_rng_state(), cuda)

    @contextmanager
    def again(self) -> Iterator[None]:
        """Go back to this state for a while: the same units drop out, say."""
        now = Dice.now()
        self._set()
        try:
            yield
        finally:
            now._set()

    def _set(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda)
