"""What adapters share: which parameters train, and what they are called elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from luban.core.contracts import Model


def train_only(module: nn.Module, chosen: Iterable[nn.Parameter]) -> None:
    """Freeze every parameter but the chosen ones."""
    kept = {id(parameter) for parameter in chosen}
    for parameter in module.parameters():
        parameter.requires_grad_(id(parameter) in kept)


def new_parts(module: nn.Module, fresh: Sequence[str]) -> list[nn.Parameter]:
    """Return what no pretraining knows: the head, and the parameters named in ``fresh``.

    A weight that the head shares with the stem is the stem's, and new only if it is named.
    """
    head = getattr(module, "head", None)
    stem = {id(parameter) for parameter in module.get_submodule("stem").parameters()}
    own = list(head.parameters()) if isinstance(head, nn.Module) else []
    named = [parameter for name, parameter in module.named_parameters() if name in fresh]
    return [*(parameter for parameter in own if id(parameter) not in stem), *named]


def names_elsewhere(model: Model, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the Hugging Face name of every tensor that is there as it is here.

    Tensors that the other layout turns or joins have no entry: GPT-2's matrices, say.

    Args:
        model: It knows the other layout.
        tensors: All of a plain module's, by its own names.
    """
    places = {_place(tensor): name for name, tensor in tensors.items()}
    return {
        places[_place(tensor)]: theirs
        for theirs, tensor in model.to_hf(tensors).items()
        if _place(tensor) in places
    }


def _place(tensor: Tensor) -> tuple[object, ...]:
    """Return where a tensor lies in memory, and how it is read from there."""
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride()
