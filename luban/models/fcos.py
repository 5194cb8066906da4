"""A detector without anchors: every place of a pyramid says what is there, and how far it goes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from luban.core.contracts import Model, Ports
from luban.core.errors import RecipeError
from luban.models._flops import training_flops
from luban.models._pretrained import (
    label_names,
    load_pretrained,
    locate,
    read_config,
    read_weights,
    resolved,
)
from luban.nn.detection import DetectionHead, FeaturePyramid, places
from luban.nn.resnet import ResNetShape, ResNetStem, hf_trunk_name, resnet_blocks, stage_maps

_DECIDED = (
    "embedding_size", "hidden_sizes", "depths", "layer_type", "downsample_in_first_stage",
    "downsample_in_bottleneck",
)  # fmt: skip
_FRESH = ("pyramid.", "head.")
_PREFIX = "resnet."  #: what transformers' ResNetForImageClassification calls its trunk
_Positive = Annotated[int, Field(ge=1)]


class FCOS(Model):
    """FCOS (Tian et al. 2019, 1904.01355) over a residual network with a feature pyramid.

    Places near the middle of an object answer for it, on the level that suits its size; the
    quality of a box is its overlap, learned beside it, where the paper has centreness. The
    defaults are small, for learning from scratch; ``pretrained`` takes the trunk of a Hugging
    Face ``ResNetForImageClassification``.
    """

    accepts: ClassVar[tuple[str, ...]] = ("pixels",)
    produces: ClassVar[tuple[str, ...]] = ("boxes",)

    embedding_size: int = Field(default=24, ge=1, description="Channels of the stem.")
    hidden_sizes: tuple[_Positive, ...] = Field(
        default=(24, 48, 96, 192), description="Channels of each stage of the trunk."
    )
    depths: tuple[_Positive, ...] = Field(
        default=(1, 1, 2, 1), description="Residual blocks of each stage."
    )
    layer_type: Literal["basic", "bottleneck"] = "basic"
    downsample_in_first_stage: bool = False
    downsample_in_bottleneck: bool = False
    pyramid_size: int = Field(default=64, ge=1, description="Channels of the pyramid and the head.")
    finest_stride: int = Field(
        default=8, ge=4, description="Pixels between the places of the finest level."
    )
    extra_levels: int = Field(
        default=0, ge=0, description="Levels coarser than the trunk's, for very large objects."
    )
    num_head_layers: int = Field(default=1, ge=0, description="Convolutions of each tower.")
    pretrained: str | None = Field(
        default=None, description="A Hugging Face ResNet (a directory or a name): the trunk."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.hidden_sizes) != len(self.depths):
            raise ValueError("hidden_sizes and depths name the same stages")
        if self.finest_stride not in self._shape().strides:
            raise ValueError(f"finest_stride is one of {self._shape().strides}, those of stages")
        return self

    def build(self, ports: Ports) -> Detector:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the task is not one over pixels that asks for boxes.
        """
        self.check(ports)
        return Detector(self, ports)

    def resolve(self) -> Self:
        """Return this model with the fields that a pretrained trunk decides."""
        if self.pretrained is None:
            return self
        folder = locate(self.pretrained)
        config = read_config(folder)
        if config.get("model_type") != "resnet" or config.get("hidden_act", "relu") != "relu":
            raise RecipeError(
                "this pretrained model is no residual network with relu.",
                where="model.pretrained",
                expected="model_type: resnet",
                got=config.get("model_type"),
            )
        decided = {name: config[name] for name in _DECIDED if name in config}
        return resolved(self, decided, folder)

    def start(self, module: nn.Module) -> tuple[str, ...]:
        """Load the trunk of ``pretrained``; pyramid and head stay fresh.

        Raises:
            RecipeError: if the weights do not fit.
        """
        if self.pretrained is None:
            return ()
        folder = locate(self.pretrained)
        held = {name.removeprefix(_PREFIX): tensor for name, tensor in read_weights(folder).items()}
        trunk = {name: name for name in module.state_dict() if not name.startswith(_FRESH)}
        theirs = {name: hf_trunk_name(name, self.depths) for name in trunk}
        found = {ours: held[name] for ours, name in theirs.items() if name in held}
        fresh = load_pretrained(module, found, folder, _FRESH)
        return tuple(name for name in fresh if name in dict(module.named_parameters()))

    def hf_config(self, ports: Ports) -> dict[str, Any]:
        """Return ``config.json``: the trunk as Hugging Face's ResNet, and the labels."""
        return {**super().hf_config(ports), **label_names(ports)}

    def flops_per_token(self, ports: Ports, parameters: int) -> float:
        """Return the FLOP of training on one image, counted operation by operation."""
        return training_flops(self, ports)

    def _shape(self) -> ResNetShape:
        return ResNetShape(**{name: getattr(self, name) for name in _DECIDED})


class Detector(nn.Module):
    """Trunk, pyramid and head."""

    def __init__(self, model: FCOS, ports: Ports) -> None:
        super().__init__()
        shape = model._shape()
        self.depths = model.depths
        self.stem = ResNetStem(ports.inputs, shape.embedding_size)
        self.blocks = resnet_blocks(shape)
        self.first = shape.strides.index(model.finest_stride)
        strides = list(shape.strides[self.first :])
        strides += [strides[-1] * 2 ** (1 + level) for level in range(model.extra_levels)]
        widths = model.hidden_sizes[self.first :]
        self.pyramid = FeaturePyramid(widths, model.pyramid_size, model.extra_levels)
        self.head = DetectionHead(model.pyramid_size, model.num_head_layers, ports.outputs, strides)
        self.to(memory_format=torch.channels_last)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return what every place says, (B, P, C + 5): see ``DetectionHead``.

        Args:
            pixel_values: Normalised images, (B, channels, H, W).
        """
        x = pixel_values.contiguous(memory_format=torch.channels_last)
        maps = stage_maps(self.stem(x), self.blocks, self.depths)
        told: Tensor = self.head(self.pyramid(maps[self.first :]))
        return told

    def features(self, pixel_values: Tensor) -> Tensor:
        """Return the coarsest map of the trunk, (B, C', H', W')."""
        return stage_maps(self.stem(pixel_values), self.blocks, self.depths)[-1]

    def places(self, size: tuple[int, int]) -> Tensor:
        """Return x, y and stride of every place of images of (height, width), (P, 3)."""
        return places(size, self.head.strides)
