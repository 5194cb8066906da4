"""A detector without anchors: every place of a pyramid says what is there, and how far it goes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

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
from luban.models._resnet_layout import decided, to_ours
from luban.nn.activations import Activation
from luban.nn.detection import DetectionHead, FeaturePyramid, places
from luban.nn.pixels import ConvNorm, draw_filters, in_order, ordered
from luban.nn.resnet import Kind, Layer, Plan, residual_layers, stage_maps

_FRESH = ("pyramid.", "head.")


class FCOS(ImageModel):
    """FCOS (Tian et al. 2019, 1904.01355) over a residual network with a feature pyramid.

    Places near the middle of an object answer for it, on the level that suits its size; the
    quality of a box is its overlap, learned beside it, where the paper has centreness. The
    defaults are small, for learning from scratch; ``pretrained`` takes the trunk of a Hugging
    Face ``ResNetForImageClassification``.
    """

    produces: ClassVar[tuple[str, ...]] = ("boxes",)

    embedding_size: int = Field(default=24, ge=1, le=1_048_576, description="Channels of the stem.")
    hidden_sizes: tuple[Width, ...] = Field(
        default=(24, 48, 96, 192),
        max_length=MAX_PARTS,
        description="Channels of each stage of the trunk.",
    )
    depths: tuple[Annotated[Depth, Field(ge=1)], ...] = Field(
        default=(1, 1, 2, 1), description="Residual blocks of each stage."
    )
    layer_type: Layer = Field(
        default="basic", description="Two convolutions of 3 x 3, or 1 x 1, 3 x 3 and 1 x 1."
    )
    hidden_act: Activation = Field(default="relu", description="Of the stem and of sums.")
    downsample_in_first_stage: bool = False
    downsample_in_bottleneck: bool = False
    pyramid_size: int = Field(
        default=64, ge=1, le=1_048_576, description="Channels of the pyramid and the head."
    )
    finest_stride: int = Field(
        default=8, ge=4, le=1_048_576, description="Pixels between the places of the finest level."
    )
    extra_levels: int = Field(
        default=0,
        ge=0,
        le=1_024,
        description="Levels coarser than the trunk's, for very large objects.",
    )
    num_head_layers: int = Field(
        default=1, ge=0, le=1_024, description="Convolutions of each tower."
    )
    pretrained: str | None = Field(
        default=None, description="A Hugging Face ResNet (a directory or a name): the trunk."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.hidden_sizes) != len(self.depths):
            raise ValueError("hidden_sizes and depths name the same stages")
        if self.layer_type == "bottleneck" and any(size % 4 for size in self.hidden_sizes):
            raise ValueError("hidden_sizes of bottlenecks are multiples of 4")
        if self.finest_stride not in self._strides():
            raise ValueError(f"finest_stride is one of {self._strides()}, those of the stages")
        return self

    def build(self, signature: Signature) -> Detector:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the task is not one over pixels that asks for boxes.
        """
        self.check(signature)
        return Detector(self, signature)

    def refusal(self, signature: Signature) -> RecipeError | None:
        """Return why images of this size cannot be read; None: they can."""
        return too_small(signature, self.finest_stride, "there would be less than one place")

    def resolve(self) -> Self:
        """Return this model with the fields that a pretrained trunk decides.

        Raises:
            RecipeError: if a field given contradicts the directory, or it holds another model.
        """
        if self.pretrained is None:
            return self
        folder = locate(self.pretrained)
        return resolved(self, decided(read_config(folder), folder), folder)

    def start(self, module: nn.Module) -> tuple[str, ...]:
        """Load the trunk of ``pretrained``; pyramid and head stay fresh.

        Raises:
            RecipeError: if the weights do not fit.
        """
        if self.pretrained is None:
            return ()
        named = {
            to_ours(name, self.depths): tensor
            for name, tensor in read_weights(locate(self.pretrained)).items()
        }
        trunk = {name: tensor for name, tensor in named.items() if not name.startswith(_FRESH)}
        fresh = load_pretrained(module, trunk, self.pretrained, _FRESH)
        return tuple(name for name in fresh if name in dict(module.named_parameters()))

    def hf_config(self, signature: Signature) -> dict[str, Any]:
        """Return ``config.json``: the trunk as Hugging Face's ResNet, and the labels."""
        return {**super().hf_config(signature), **label_names(signature)}

    def _strides(self) -> tuple[int, ...]:
        """How many pixels one place of each stage's map stands for."""
        first = 8 if self.downsample_in_first_stage else 4
        return tuple(first * 2**stage for stage in range(len(self.depths)))

    def _stages(self) -> list[Plan]:
        strides = [2 if self.downsample_in_first_stage else 1] + [2] * (len(self.depths) - 1)
        return [Plan(*plan) for plan in zip(self.depths, self.hidden_sizes, strides, strict=True)]


class Detector(nn.Module):
    """Trunk, pyramid and head."""

    def __init__(self, model: FCOS, signature: Signature) -> None:
        super().__init__()
        self.depths, act = model.depths, model.hidden_act
        self.stem = ConvNorm(signature.inputs, model.embedding_size, 7, stride=2, act=act)
        kind = Kind(model.layer_type, act, early=model.downsample_in_bottleneck)
        self.blocks = residual_layers(kind, model.embedding_size, model._stages())
        draw_filters(self)
        strides = model._strides()
        self.first = strides.index(model.finest_stride)
        strides = strides[self.first :]
        strides += tuple(strides[-1] * 2 ** (1 + level) for level in range(model.extra_levels))
        width, widths = model.pyramid_size, model.hidden_sizes[self.first :]
        self.pyramid = FeaturePyramid(widths, width, model.extra_levels)
        self.head = DetectionHead(width, model.num_head_layers, signature.outputs, strides)
        ordered(self, channels_last=True)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return what every place says, (B, P, C + 5): see ``DetectionHead``.

        Args:
            pixel_values: Normalised images, (B, channels, H, W).
        """
        told: Tensor = self.head(self.pyramid(self._maps(pixel_values)[self.first :]))
        return told

    def features(self, pixel_values: Tensor) -> Tensor:
        """Return the coarsest map of the trunk, (B, C', H', W')."""
        return self._maps(pixel_values)[-1]

    def places(self, size: tuple[int, int]) -> Tensor:
        """Return x, y and stride of every place of images of (height, width), (P, 3)."""
        return places(size, self.head.strides)

    def _maps(self, pixel_values: Tensor) -> list[Tensor]:
        x = self.stem(in_order(pixel_values, channels_last=True))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        return stage_maps(x, self.blocks, self.depths)
