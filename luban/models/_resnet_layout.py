"""What Hugging Face calls the parts of a residual network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from luban.core.errors import RecipeError

_PREFIX = "resnet."


def to_theirs(name: str, depths: Sequence[int]) -> str:
    """Return their name of a tensor of the stem, of the layers (``blocks``) or of the head.

    Args:
        name: Ours.
        depths: Layers of each stage.
    """
    places = [(stage, layer) for stage, depth in enumerate(depths) for layer in range(depth)]
    if found := re.match(r"blocks\.(\d+)\.", name):
        stage, layer = places[int(found[1])]
        return f"{_PREFIX}encoder.stages.{stage}.layers.{layer}." + name[found.end() :]
    name = re.sub(r"^stem\.", f"{_PREFIX}embedder.embedder.", name)
    return re.sub(r"^head\.", "classifier.1.", name)


def to_ours(name: str, depths: Sequence[int]) -> str:
    """Return our name of a tensor: the inverse; names of a bare ``ResNetModel`` are read too.

    Args:
        name: Theirs.
        depths: Layers of each stage.
    """
    before = [0, *accumulate(depths)]
    name = name.removeprefix(_PREFIX)
    if found := re.match(r"encoder\.stages\.(\d+)\.layers\.(\d+)\.", name):
        block = before[min(int(found[1]), len(before) - 1)] + int(found[2])
        return f"blocks.{block}." + name[found.end() :]
    name = re.sub(r"^embedder\.embedder\.", "stem.", name)
    return re.sub(r"^classifier\.1\.", "head.", name)


#: Fields of the same name here and there, and what transformers takes where one is missing.
DEFAULTS: dict[str, Any] = {
    "embedding_size": 64,
    "hidden_sizes": (256, 512, 1024, 2048),
    "depths": (3, 4, 6, 3),
    "layer_type": "bottleneck",
    "hidden_act": "relu",
    "downsample_in_first_stage": False,
    "downsample_in_bottleneck": False,
}


def decided(
    config: dict[str, Any], folder: Path, kinds: Sequence[str] = ("resnet",)
) -> dict[str, Any]:
    """Return the fields that a ``config.json`` decides.

    Args:
        config: What it holds.
        folder: Where it lies, for messages.
        kinds: The ``model_type`` it may have.

    Raises:
        RecipeError: for another architecture.
    """
    kind = config.get("model_type")
    if kind not in kinds:
        raise RecipeError(
            "the pretrained model does not have this architecture.",
            where=folder / "config.json",
            expected="model_type resnet",
            got=kind,
        )
    fields = {key: config.get(key, default) for key, default in DEFAULTS.items()}
    return {**fields, **{name: tuple(fields[name]) for name in ("depths", "hidden_sizes")}}
