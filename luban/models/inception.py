"""Inception v3, as published: filters of several shapes side by side, and an auxiliary head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from luban.core.contracts import Signature
from luban.core.errors import RecipeError
from luban.models._images import ImageModel, too_small
from luban.models._pretrained import (
    label_names,
    load_pretrained,
    locate,
    read_config,
    read_weights,
    resolved,
)
from luban.nn.losses import WithAuxiliary
from luban.nn.pixels import (
    ConvNorm,
    draw_filters,
    in_order,
    mean_of_places,
    ordered,
)

_OURS = "luban-inception"
_BLOCKS = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")
_AUXILIARY_AFTER = _BLOCKS.index("6e")
_STEM = {0: "Conv2d_1a_3x3", 1: "Conv2d_2a_3x3", 2: "Conv2d_2b_3x3"}
_STEM |= {4: "Conv2d_3b_1x1", 5: "Conv2d_4a_3x3"}


class Inception(ImageModel):
    """Inception v3 (Szegedy et al. 2015, 1512.00567): 27,161,264 weights for 1,000 classes.

    Made for 299 x 299 pixels; without the auxiliary head 75 x 75 are enough. Weights have the
    names that torchvision and timm give them.
    """

    width: float = Field(
        default=1.0,
        gt=0,
        description="Channels, as a share of the published; in sixteenths, which all of those are.",
    )
    auxiliary_weight: float = Field(
        default=0.4,
        ge=0,
        description=(
            "In training, of the loss of a second classifier in the middle (0: there is none)."
        ),
    )
    dropout: float = Field(default=0.5, ge=0, lt=1, description="Before the head.")
    channels_last: bool = Field(default=True, description="How maps lie in memory.")
    pretrained: str | None = Field(
        default=None, description="Folder or hub name (timm's, say) to take weights from."
    )

    def build(self, signature: Signature) -> InceptionNetwork:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the model cannot take what the task gives.
        """
        self.check(signature)
        return InceptionNetwork(self, signature)

    def refusal(self, signature: Signature) -> RecipeError | None:
        """Return why images of this size cannot be read; None: they can."""
        if not self.auxiliary_weight:
            return too_small(signature, 75, "the last filters need a place")
        why = "without the auxiliary head (auxiliary_weight: 0), 75 are enough"
        return too_small(signature, 299, why)

    def resolve(self) -> Self:
        """Return this model with every field that a pretrained directory decides filled in.

        Raises:
            RecipeError: if a field given contradicts the directory, or it holds another model.
        """
        if self.pretrained is None:
            return self
        folder = locate(self.pretrained)
        return resolved(self, {"width": _width_of(read_config(folder), folder)}, folder)

    def start(self, module: nn.Module) -> tuple[str, ...]:
        """Load the pretrained weights, if there are any, and return what stayed fresh."""
        if self.pretrained is None:
            return ()
        tensors = self.from_hf(read_weights(locate(self.pretrained)))
        fresh = ("head.", "auxiliary_head.")
        return load_pretrained(module, tensors, self.pretrained, fresh=fresh)

    def hf_config(self, signature: Signature) -> dict[str, Any]:
        """Return a ``config.json`` in the manner of timm's: transformers has no such class."""
        own = {key: value for key, value in self.to_dict().items() if key != "name"}
        known = {"architecture": "inception_v3", "num_classes": signature.outputs}
        return {"model_type": _OURS, **known, **own, **label_names(signature)}

    def to_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors under torchvision's names."""
        return {_theirs(name): tensor for name, tensor in tensors.items()}

    def from_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors from torchvision's names: the inverse of ``to_hf``."""
        return {_ours(name): tensor for name, tensor in tensors.items()}


class InceptionNetwork(nn.Module):
    """Shapes: B batch, C channels, H height, W width."""

    def __init__(self, config: Inception, signature: Signature) -> None:
        super().__init__()
        make = Parts(config.width)
        self.stem = nn.Sequential(
            make(signature.inputs, 32, 3, stride=2, raw=True),
            make(32, 32, 3),
            make(32, 64, 3, padding=1),
            nn.MaxPool2d(3, stride=2),
            make(64, 80, 1),
            make(80, 192, 3),
            nn.MaxPool2d(3, stride=2),
        )
        self.blocks = nn.ModuleList(
            (
                *(make.a(channels, pool) for channels, pool in ((192, 32), (256, 64), (288, 64))),
                make.b(288),
                *(make.c(768, narrow) for narrow in (128, 160, 160, 192)),
                make.d(768),
                *(make.e(channels) for channels in (1280, 2048)),
            )
        )
        self.auxiliary_head: nn.Sequential | None = None
        if config.auxiliary_weight:
            self.auxiliary_head = nn.Sequential(
                nn.AvgPool2d(5, stride=3),
                make(768, 128, 1),
                make(128, 768, 5),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(make.of(768), signature.outputs),
            )
        self.head = nn.Linear(make.of(2048), signature.outputs)
        self.auxiliary_weight, self.dropout = config.auxiliary_weight, config.dropout
        self.channels_last = config.channels_last
        draw_filters(self)
        ordered(self, channels_last=config.channels_last)

    def forward(self, pixel_values: Tensor) -> Tensor | WithAuxiliary:
        """Return logits (B, outputs) of images (B, C, H, W); in training the auxiliary's too."""
        middle = self._until(pixel_values)
        x = mean_of_places(self._after(middle))
        logits: Tensor = self.head(F.dropout(x, self.dropout, self.training))
        if self.auxiliary_head is None or not self.training:
            return logits
        return WithAuxiliary(logits, self.auxiliary_head(middle), self.auxiliary_weight)

    def features(self, pixel_values: Tensor) -> Tensor:
        """Return the last maps, (B, C', H', W')."""
        return self._after(self._until(pixel_values))

    def _until(self, pixel_values: Tensor) -> Tensor:
        """Return the maps that the auxiliary head reads."""
        x: Tensor = self.stem(in_order(pixel_values, channels_last=self.channels_last))
        for block in self.blocks[: _AUXILIARY_AFTER + 1]:
            x = block(x)
        return x

    def _after(self, x: Tensor) -> Tensor:
        for block in self.blocks[_AUXILIARY_AFTER + 1 :]:
            x = block(x)
        return x


class Side(nn.ModuleDict):
    """Branches over the same map, joined by channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', H', W')."""
        return torch.cat([branch(x) for branch in self.values()], 1)


class Parts:
    """Makes the layers and the five kinds of blocks; channels are shares of the published.

    Branches have torchvision's names. 7 x 7 filters are 1 x 7 after 7 x 1 (section 3.2), grids
    shrink by convolutions beside a maximum (section 4), and the last blocks spread out into 1 x 3
    beside 3 x 1 (figure 7).
    """

    def __init__(self, width: float) -> None:
        self.width = width

    def of(self, channels: int) -> int:
        """Return how many channels there are of so many published ones."""
        return channels // 16 * max(1, round(16 * self.width))

    def __call__(  # noqa: PLR0913
        self,
        channels: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        raw: bool = False,
    ) -> ConvNorm:
        """Return a convolution, its normalisation and relu; ``raw`` reads the image itself."""
        inputs = channels if raw else self.of(channels)
        return ConvNorm(inputs, self.of(outputs), kernel, stride=stride, padding=padding, eps=0.001)

    def a(self, channels: int, pool: int) -> Side:
        """Figure 5, with 5 x 5 kept in one branch."""
        return Side(
            {
                "branch1x1": self(channels, 64, 1),
                "branch5x5": nn.Sequential(self(channels, 48, 1), self(48, 64, 5, padding=2)),
                "branch3x3dbl": nn.Sequential(
                    self(channels, 64, 1), self(64, 96, 3, padding=1), self(96, 96, 3, padding=1)
                ),
                "branch_pool": self._pooled(channels, pool),
            }
        )

    def b(self, channels: int) -> Side:
        """Halve height and width."""
        return Side(
            {
                "branch3x3": self(channels, 384, 3, stride=2),
                "branch3x3dbl": nn.Sequential(
                    self(channels, 64, 1), self(64, 96, 3, padding=1), self(96, 96, 3, stride=2)
                ),
                "branch_pool": nn.MaxPool2d(3, stride=2),
            }
        )

    def c(self, channels: int, narrow: int) -> Side:
        """Figure 6, with n = 7."""
        flat: Any = {"kernel": (1, 7), "padding": (0, 3)}
        tall: Any = {"kernel": (7, 1), "padding": (3, 0)}
        return Side(
            {
                "branch1x1": self(channels, 192, 1),
                "branch7x7": nn.Sequential(
                    self(channels, narrow, 1),
                    self(narrow, narrow, **flat),
                    self(narrow, 192, **tall),
                ),
                "branch7x7dbl": nn.Sequential(
                    self(channels, narrow, 1),
                    self(narrow, narrow, **tall),
                    self(narrow, narrow, **flat),
                    self(narrow, narrow, **tall),
                    self(narrow, 192, **flat),
                ),
                "branch_pool": self._pooled(channels, 192),
            }
        )

    def d(self, channels: int) -> Side:
        """Halve height and width again."""
        return Side(
            {
                "branch3x3": nn.Sequential(self(channels, 192, 1), self(192, 320, 3, stride=2)),
                "branch7x7x3": nn.Sequential(
                    self(channels, 192, 1),
                    self(192, 192, (1, 7), padding=(0, 3)),
                    self(192, 192, (7, 1), padding=(3, 0)),
                    self(192, 192, 3, stride=2),
                ),
                "branch_pool": nn.MaxPool2d(3, stride=2),
            }
        )

    def e(self, channels: int) -> Side:
        """Figure 7."""
        return Side(
            {
                "branch1x1": self(channels, 320, 1),
                "branch3x3": nn.Sequential(self(channels, 384, 1), self._spread(384)),
                "branch3x3dbl": nn.Sequential(
                    self(channels, 448, 1), self(448, 384, 3, padding=1), self._spread(384)
                ),
                "branch_pool": self._pooled(channels, 192),
            }
        )

    def _pooled(self, channels: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), self(channels, outputs, 1))

    def _spread(self, channels: int) -> Side:
        flat = self(channels, channels, (1, 3), padding=(0, 1))
        return Side({"a": flat, "b": self(channels, channels, (3, 1), padding=(1, 0))})


def _width_of(config: Mapping[str, Any], folder: Path) -> float:
    """Return the width that a ``config.json`` of ours or of timm's decides.

    Raises:
        RecipeError: for another architecture.
    """
    if config.get("architecture") != "inception_v3":
        raise RecipeError(
            "the inception model does not have this architecture.",
            where=folder / "config.json",
            expected="architecture inception_v3",
            got=config.get("architecture", config.get("model_type")),
        )
    return float(config.get("width", 1.0))


_FROM_STEM = {theirs: ours for ours, theirs in _STEM.items()}
_LAYER = (("convolution", "conv"), ("normalization", "bn"))


def _theirs(name: str) -> str:
    """Return torchvision's name of a tensor."""
    for ours, theirs in _LAYER:
        name = name.replace(f".{ours}.", f".{theirs}.")
    name = re.sub(r"^stem\.(\d)", lambda found: _STEM[int(found[1])], name)
    name = re.sub(r"^blocks\.(\d+)", lambda found: f"Mixed_{_BLOCKS[int(found[1])]}", name)
    name = re.sub(r"^auxiliary_head\.5", "AuxLogits.fc", name)
    name = re.sub(r"^auxiliary_head\.(\d)", lambda at: f"AuxLogits.conv{int(at[1]) - 1}", name)
    name = name.replace("branch_pool.1.", "branch_pool.")
    # The third layer of a branch, or of two that spread out from it, is branch_3, or branch_3a.
    layer = r"(branch\dx\d\w*)\.(\d)(?:\.([ab]))?\."
    name = re.sub(layer, lambda at: f"{at[1]}_{int(at[2]) + 1}{at[3] or ''}.", name)
    return re.sub(r"^head\.", "fc.", name)


def _ours(name: str) -> str:
    """Return our name of a tensor: the inverse of ``_theirs``."""
    for ours, theirs in _LAYER:
        name = name.replace(f".{theirs}.", f".{ours}.")
    name = re.sub(r"^(Conv2d_\w+)", lambda found: f"stem.{_FROM_STEM[found[1]]}", name)
    name = re.sub(r"^Mixed_(\w\w)", lambda found: f"blocks.{_BLOCKS.index(found[1])}", name)
    name = re.sub(r"^AuxLogits\.fc", "auxiliary_head.5", name)
    name = re.sub(r"^AuxLogits\.conv(\d)", lambda at: f"auxiliary_head.{int(at[1]) + 1}", name)
    name = name.replace("branch_pool.", "branch_pool.1.")
    layer = r"(branch\dx\d[a-z0-9]*)_(\d)([ab])?\."
    name = re.sub(
        layer, lambda at: f"{at[1]}.{int(at[2]) - 1}{'.' + at[3] if at[3] else ''}.", name
    )
    return re.sub(r"^fc\.", "head.", name)
