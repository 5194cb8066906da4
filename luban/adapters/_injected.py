"""Layers of ``peft`` inside a module: put in, merged away, written as a PEFT directory."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from luban.adapters._parts import names_elsewhere, new_parts, train_only
from luban.core.contracts import Model
from luban.core.errors import RecipeError
from luban.core.extras import require
from luban.engine.checkpoint import untied

#: peft's name for the one adapter there is.
_NAME = "default"


def library() -> Any:
    """Return ``peft``.

    Raises:
        MissingExtra: if it is not installed.
    """
    return require("peft", "peft")


def targets_in(
    module: nn.Module, named: Sequence[str], kinds: tuple[type[nn.Module], ...] = (nn.Linear,)
) -> list[str]:
    """Return the full names of the layers to adapt.

    Args:
        module: The plain module.
        named: Ends of names, as peft has them; none: every layer of a kind inside the blocks.
        kinds: The kinds of layers that are meant by default.

    Raises:
        RecipeError: if there is nothing of that name, or nothing to adapt.
    """
    layers = {name: layer for name, layer in module.named_modules() if name}
    if named:
        for end in named:
            if not any(_ends(name, end) for name in layers):
                raise RecipeError(
                    f"the model has no layer {end!r} to adapt.",
                    where="train.adapter.target_modules",
                    expected=", ".join(sorted({name.rpartition(".")[2] for name in layers})),
                )
        return [name for name in layers if any(_ends(name, end) for end in named)]
    inside = {id(layer) for block in getattr(module, "blocks", ()) for layer in block.modules()}
    found = [n for n, layer in layers.items() if id(layer) in inside and isinstance(layer, kinds)]
    if not found:
        raise RecipeError(
            "the model has no blocks with layers that this adapter is made for.",
            where="train.adapter",
            expected=f"blocks with {' or '.join(kind.__name__ for kind in kinds)} layers",
            fix="name layers in train.adapter.target_modules, or use the adapter freeze.",
        )
    return found


def inject(module: nn.Module, config: Any, fresh: Sequence[str]) -> nn.Module:
    """Put adapters in, in place; they, the head and fresh parameters train, the rest is frozen."""
    peft = library()
    new = new_parts(module, fresh)
    kept = {id(parameter) for parameter in module.parameters()}
    peft.inject_adapter_in_model(config, module, adapter_name=_NAME)
    added = [p for p in module.parameters() if id(p) not in kept and p.requires_grad]
    train_only(module, [*added, *new])
    return module


def merged(module: nn.Module) -> nn.Module:
    """Fold every adapter into the layer it adapts and take it out, in place.

    Raises:
        RecipeError: if an adapter holds numbers that are not finite.
    """
    for name, layer in _adapted(module).items():
        try:
            layer.merge(safe_merge=True)
        except ValueError as error:
            raise RecipeError(f"the adapter cannot be merged: {error}", where=name) from error
        parent, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(parent), leaf, layer.get_base_layer())
    if hasattr(module, "peft_config"):
        del module.peft_config
    return module.requires_grad_(True)


def save_peft(module: nn.Module, model: Model, folder: Path) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``.

    Names are those of the model's Hugging Face twin, so that ``peft.PeftModel.from_pretrained``
    loads them onto it; where that layout joins or turns the matrices adapted, they are ours.
    Trained parts of the base model (a head) go along as ``modules_to_save``; what a module owns
    beside modules inside it (the bias of a masked-token head) is in the file, but peft ignores it.
    """
    peft, layers = library(), _adapted(module)
    tensors = untied(module)
    base = {_plain(name, layers): t for name, t in tensors.items() if _is_base(name, layers)}
    theirs = names_elsewhere(model, base)
    if not all(_owner_name(layer, base, theirs) for layer in layers):
        theirs = {name: name for name in base}
    whole: dict[str, Tensor] = {}
    for name, tensor in peft.get_peft_model_state_dict(module, save_embedding_layers=False).items():
        owner = next(layer for layer in layers if name.startswith(f"{layer}."))
        whole[f"{_owner_name(owner, base, theirs)}{name.removeprefix(owner)}"] = tensor
    named = {theirs.get(name, name): tensor for name, tensor in base.items()}
    trained = {
        theirs.get(name, name)
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and name in base
    }
    owners = {name.rpartition(".")[0] for name in trained}
    # peft saves modules: one with others inside (a head's own bias) it cannot take apart.
    modules = {name.rpartition(".")[0] for name in named}
    owners = {o for o in owners if not any(m.startswith(f"{o}.") for m in modules)}
    whole |= {n: t for n, t in named.items() if n in trained or n.rpartition(".")[0] in owners}
    config: Any = copy.copy(module.peft_config[_NAME])  # type: ignore[index]
    config.target_modules = sorted(_owner_name(layer, base, theirs) for layer in layers)
    if getattr(config, "feedforward_modules", None):
        config.feedforward_modules = sorted(
            _owner_name(name, base, theirs)
            for name, layer in layers.items()
            if layer.is_feedforward
        )
    config.modules_to_save = sorted(owners) or None
    config.base_model_name_or_path = getattr(model, "pretrained", None)
    config.inference_mode = True
    config.save_pretrained(folder)
    files = {f"base_model.model.{name}": t.detach().cpu().contiguous() for name, t in whole.items()}
    save_file(files, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _adapted(module: nn.Module) -> dict[str, Any]:
    """Return the adapted layers by name."""
    layer = library().tuners.tuners_utils.BaseTunerLayer
    return {name: found for name, found in module.named_modules() if isinstance(found, layer)}


def _plain(name: str, layers: dict[str, Any]) -> str:
    """Return what a tensor is called in the plain module."""
    owner = next((layer for layer in layers if name.startswith(f"{layer}.base_layer.")), "")
    return name.replace(f"{owner}.base_layer.", f"{owner}.") if owner else name


def _is_base(name: str, layers: dict[str, Any]) -> bool:
    owner = next((layer for layer in layers if name.startswith(f"{layer}.")), None)
    return owner is None or name.startswith(f"{owner}.base_layer.")


def _owner_name(layer: str, base: dict[str, Tensor], theirs: dict[str, str]) -> str:
    """Return what an adapted layer is called elsewhere; empty where it has no twin."""
    ours = next(name for name in base if name.startswith(f"{layer}."))
    return theirs.get(ours, "").rpartition(".")[0]


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")
