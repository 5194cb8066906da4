"""Learning rates that fall with depth: the nearer to the input, the smaller the steps."""

from __future__ import annotations

from itertools import takewhile

from torch import nn
from torch.optim import Optimizer


def decay_by_layer(optimizer: Optimizer, module: nn.Module, decay: float) -> None:
    """Split an optimizer's groups so that each layer has its own ``initial_lr``, in place.

    With L blocks the head keeps the full rate, the last block gets ``decay`` times it, the first
    one ``decay ** L``, all that the module has before it (embeddings of tokens, positions and
    segments, their norm) ``decay ** (L + 1)`` (ELECTRA's layer-wise decay, Clark et al. 2020,
    2003.10555, appendix A). What comes after the last block keeps the full rate.

    Args:
        optimizer: Any whose groups have ``initial_lr`` and ``param_names``.
        module: It names its ``stem`` and ``blocks``.
        decay: The factor from one layer to the one before, in (0, 1].
    """
    scales = _scales(module, decay)
    groups = list(optimizer.param_groups)
    optimizer.param_groups.clear()
    for group in groups:
        shared = {
            key: value for key, value in group.items() if key not in ("params", "param_names")
        }
        parts: dict[float, tuple[list[nn.Parameter], list[str]]] = {}
        for name, parameter in zip(group["param_names"], group["params"], strict=True):
            members, names = parts.setdefault(scales.get(id(parameter), 1.0), ([], []))
            members.append(parameter)
            names.append(name)
        for scale, (members, names) in parts.items():
            rate = group["initial_lr"] * scale
            part = {**shared, "params": members, "param_names": names}
            optimizer.param_groups.append({**part, "initial_lr": rate, "lr": rate})


def _scales(module: nn.Module, decay: float) -> dict[int, float]:
    """Return the factor of each parameter by its identity."""
    blocks = list(getattr(module, "blocks", ()))
    inside = {id(parameter) for block in blocks for parameter in block.parameters()}
    below = [id(parameter) for parameter in module.get_submodule("stem").parameters()]
    if blocks:  # parameters come in the order in which their modules were made
        below += takewhile(lambda each: each not in inside, map(id, module.parameters()))
    scales = dict.fromkeys(below, decay ** (len(blocks) + 1))
    for index, block in enumerate(blocks):
        for parameter in block.parameters():
            scales[id(parameter)] = decay ** (len(blocks) - index)
    return scales
