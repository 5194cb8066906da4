"""Residual networks whose saved directory is a Hugging Face ``ResNetForImageClassification``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from luban.core.contracts import Signature
from luban.core.errors import RecipeError
from luban.core.sizes import MAX_PARTS, Depth, Width
from luban.models._images import ImageModel, too_small
from luban.models._pretrained import (
    label_names,
    load_pretrained,
    locate,
    read_config,
    read_weights,
    resolved,
)
from luban.models._resnet_layout import DEFAULTS, decided, to_ours, to_theirs
from luban.nn.activations import Activation
from luban.nn.pixels import (
    ChannelNorm,
    ConvNorm,
    draw_filters,
    in_order,
    mean_of_places,
    ordered,
)
from luban.nn.resnet import Kind, Layer, Plan, residual_layers, start_as_identity

_OURS = "luban-resnet"
#: Layers of each stage, table 1 of the paper.
_DEPTHS: dict[int, tuple[int, ...]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
_WIDTHS: dict[Layer, tuple[int, ...]] = {
    "basic": (64, 128, 256, 512),
    "bottleneck": (256, 512, 1024, 2048),
}
#: Fields that only our own models have.
_EXTRA: dict[str, Any] = {"stem": "standard", "norm": "batch"}


class ResNet(ImageModel):
    """ResNet (He et al. 2015, 1512.03385) of 18, 34, 50, 101 or 152 layers, or of any others.

    The stride of a bottleneck lies in its middle convolution, as all published weights have it
    (Goyal et al. 2017, 1706.02677). With ``stem: small`` or ``norm: group`` there is no class in
    transformers that computes the same; the saved names stay ResNet's.
    """

    depth: Literal[18, 34, 50, 101, 152] | None = Field(
        default=18, description="Decides the next three fields where they are left out."
    )
    depths: tuple[Depth, ...] | None = Field(default=None, description="Layers of each stage.")
    hidden_sizes: tuple[Width, ...] | None = Field(
        default=None, max_length=MAX_PARTS, description="Channels of each stage."
    )
    layer_type: Layer | None = Field(
        default=None, description="Two convolutions of 3 x 3, or 1 x 1, 3 x 3 and 1 x 1."
    )
    embedding_size: int = Field(default=64, ge=1, le=1_048_576, description="Channels of the stem.")
    hidden_act: Activation = Field(
        default="relu",
        description="Of the stem and of sums; inside a layer it is relu, as in transformers.",
    )
    downsample_in_first_stage: bool = False
    downsample_in_bottleneck: bool = Field(
        default=False, description="Halve in the first convolution of a bottleneck."
    )
    stem: Literal["standard", "small"] = Field(
        default="standard",
        description=(
            "7 x 7 of stride 2 and a maximum of stride 2; or, for images of some 32 pixels, 3 x 3 "
            "that keep the size."
        ),
    )
    norm: ChannelNorm = Field(
        default="batch",
        description="`group` where examples must not see each other, in private training.",
    )
    zero_init_residual: bool = Field(
        default=True, description="Every layer begins as the identity (Goyal et al. 2017)."
    )
    channels_last: bool | None = Field(
        default=None,
        description="How maps lie in memory (None: so where images have 128 pixels a side).",
    )
    pretrained: str | None = Field(
        default=None, description="Folder or hub name to take shape and weights from."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.depth is None and None in (self.depths, self.hidden_sizes, self.layer_type):
            raise ValueError("without depth, give depths, hidden_sizes and layer_type")
        depths, widths, layer = self._shape()
        if len(depths) != len(widths) or not depths:
            raise ValueError("depths and hidden_sizes need one number for each stage")
        if min(*depths, *widths) < 1:
            raise ValueError("depths and hidden_sizes are at least 1")
        if layer == "bottleneck" and any(width % 4 for width in widths):
            raise ValueError("hidden_sizes of bottlenecks are multiples of 4")
        return self

    def build(self, signature: Signature) -> ResidualNetwork:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the model cannot take what the task gives.
        """
        self.check(signature)
        return ResidualNetwork(self, signature)

    def refusal(self, signature: Signature) -> RecipeError | None:
        """Return why images of this size cannot be read; None: they can."""
        halvings = sum(plan.stride == 2 for plan in self.stages())
        halvings += 2 * (self.stem == "standard")
        return too_small(signature, 2**halvings, f"they are halved {halvings} times")

    def stages(self) -> list[Plan]:
        """Return what the stages are made of, first to last."""
        depths, widths, _ = self._shape()
        first = 2 if self.downsample_in_first_stage else 1
        return [
            Plan(layers, channels, first if at == 0 else 2)
            for at, (layers, channels) in enumerate(zip(depths, widths, strict=True))
        ]

    @property
    def layer(self) -> Layer:
        """What the layers are made of."""
        return self._shape()[2]

    def _shape(self) -> tuple[tuple[int, ...], tuple[int, ...], Layer]:
        layer = self.layer_type or ("basic" if self.depth in (18, 34) else "bottleneck")
        depths = self.depths or _DEPTHS[self.depth or 18]
        return depths, self.hidden_sizes or _WIDTHS[layer], layer

    def resolve(self) -> Self:
        """Return this model with every field that a pretrained directory decides filled in.

        Raises:
            RecipeError: if a field given contradicts the directory, or it holds another model.
        """
        if self.pretrained is None:
            return self
        folder = locate(self.pretrained)
        return resolved(self, _fields_of(read_config(folder), folder), folder)

    def start(self, module: nn.Module) -> tuple[str, ...]:
        """Load the pretrained weights, if there are any, and return what stayed fresh."""
        if self.pretrained is None:
            return ()
        tensors = self.from_hf(read_weights(locate(self.pretrained)))
        return load_pretrained(module, tensors, self.pretrained, fresh=("head.",))

    def hf_config(self, signature: Signature) -> dict[str, Any]:
        """Return a ``config.json`` that transformers reads, where it has such a class."""
        depths, widths, layer = self._shape()
        shape = {"depths": list(depths), "hidden_sizes": list(widths), "layer_type": layer}
        fields = {**self.to_dict(), **shape}
        config: dict[str, Any] = {
            "architectures": ["ResNetForImageClassification"],
            "model_type": "resnet",
            "num_channels": signature.inputs,
            **{key: fields[key] for key in DEFAULTS},
            **label_names(signature),
        }
        own = {key: fields[key] for key in _EXTRA}
        if own != _EXTRA:
            del config["architectures"]
            config |= {"model_type": _OURS, **own}
        return config

    def to_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors under their Hugging Face names."""
        depths = self._shape()[0]
        return {to_theirs(name, depths): tensor for name, tensor in tensors.items()}

    def from_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors from Hugging Face's: the inverse of ``to_hf``.

        It reads a bare ``ResNetModel`` too.
        """
        depths = self._shape()[0]
        return {to_ours(name, depths): tensor for name, tensor in tensors.items()}


class ResidualNetwork(nn.Module):
    """Shapes: B batch, C channels, H height, W width."""

    def __init__(self, config: ResNet, signature: Signature) -> None:
        super().__init__()
        width, act, norm = config.embedding_size, config.hidden_act, config.norm
        self.small = config.stem == "small"
        self.channels_last = (  # as measured: 4 to 10 % faster at 224, slower at 64
            min(signature.size) >= 128 if config.channels_last is None else config.channels_last
        )
        kernel, stride = (3, 1) if self.small else (7, 2)
        self.stem = ConvNorm(signature.inputs, width, kernel, stride=stride, act=act, norm=norm)
        stages, early = config.stages(), config.downsample_in_bottleneck
        kind = Kind(config.layer, act, norm, early)
        self.blocks = residual_layers(kind, width, stages)
        self.head = nn.Linear(stages[-1].channels, signature.outputs)
        draw_filters(self)
        if config.zero_init_residual:
            start_as_identity(self.blocks)
        ordered(self, channels_last=self.channels_last)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return logits (B, outputs) of images (B, C, H, W)."""
        logits: Tensor = self.head(mean_of_places(self.features(pixel_values)))
        return logits

    def features(self, pixel_values: Tensor) -> Tensor:
        """Return the last maps, (B, C', H', W')."""
        x: Tensor = self.stem(in_order(pixel_values, channels_last=self.channels_last))
        if not self.small:
            x = F.max_pool2d(x, 3, stride=2, padding=1)
        for block in self.blocks:
            x = block(x)
        return x


def _fields_of(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the fields of our model that a ``config.json`` decides.

    Raises:
        RecipeError: for another architecture.
    """
    fields = decided(dict(config), folder, ("resnet", _OURS))
    published = (
        depth
        for depth, depths in _DEPTHS.items()
        if depths == fields["depths"] and (depth < 50) == (fields["layer_type"] == "basic")
    )
    own = {key: config.get(key, default) for key, default in _EXTRA.items()}
    return {"depth": next(published, None), **fields, **own}
