"""A vision Transformer whose saved directory is a Hugging Face ``ViTForImageClassification``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from luban.core.contracts import Signature
from luban.core.errors import RecipeError
from luban.models._images import ImageModel
from luban.models._pretrained import (
    label_names,
    load_pretrained,
    locate,
    read_config,
    read_weights,
    resolved,
)
from luban.nn.activations import Activation
from luban.nn.block import Block
from luban.nn.norms import make_norm
from luban.nn.patches import PatchEmbeddings, moved_positions
from luban.nn.shape import Shape

#: Fields of the same name here and there, and what transformers takes where one is missing.
_DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "patch_size": 16,
}
#: No weight depends on these.
_FREE = ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")


class ViT(ImageModel):
    """ViT (Dosovitskiy et al. 2020, 2010.11929): a Transformer over patches of an image.

    The defaults are ViT-Ti (Touvron et al. 2020, 2012.12877); ViT-B has 768, 12 and 12.
    """

    hidden_size: int = Field(default=192, ge=1, le=1_048_576)
    num_hidden_layers: int = Field(default=12, ge=1, le=1_024)
    num_attention_heads: int = Field(default=3, ge=1, le=1_048_576)
    intermediate_size: int | None = Field(
        default=None, ge=1, le=1_048_576, description="None: 4 hidden_size."
    )
    hidden_act: Activation = "gelu"
    patch_size: int = Field(
        default=16,
        ge=1,
        le=1_048_576,
        description="Side of a patch in pixels; a divisor of the image's sides.",
    )
    hidden_dropout_prob: float = Field(default=0.0, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(default=0.0, ge=0, lt=1)
    layer_norm_eps: float = Field(default=1e-12, gt=0)
    initializer_range: float = Field(default=0.02, gt=0)
    pretrained: str | None = Field(
        default=None,
        description=(
            "Folder or hub name to take shape and weights from; positions are interpolated where "
            "images have another size."
        ),
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            heads = self.num_attention_heads
            raise ValueError(f"hidden_size must be a multiple of num_attention_heads ({heads})")
        return self

    def build(self, signature: Signature) -> VisionTransformer:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the model cannot take what the task gives.
        """
        self.check(signature)
        shape = Shape(
            hidden_size=self.hidden_size,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_attention_heads,
            head_dim=self.hidden_size // self.num_attention_heads,
            intermediate_size=self._inner,
            hidden_act=self.hidden_act,
            norm="layer",
            norm_eps=self.layer_norm_eps,
            causal=False,
            gated=False,
            attention_bias=True,
            mlp_bias=True,
            dropout=self.hidden_dropout_prob,
            attention_dropout=self.attention_probs_dropout_prob,
        )
        embeddings = PatchEmbeddings(
            signature.inputs, self.hidden_size, signature.size, self.patch_size
        )
        return VisionTransformer(
            embeddings, shape, self.num_hidden_layers, signature.outputs, self.initializer_range
        )

    def refusal(self, signature: Signature) -> RecipeError | None:
        """Return why images of this size cannot be read; None: they can."""
        if min(signature.size) >= 1 and not any(side % self.patch_size for side in signature.size):
            return None
        return RecipeError(
            "patches do not fill the images.",
            where="model.patch_size",
            expected="a divisor of {} and {}".format(*signature.size),
            got=self.patch_size,
            fix="change it, or task.image_size.",
        )

    @property
    def _inner(self) -> int:
        return self.intermediate_size or 4 * self.hidden_size

    def resolve(self) -> Self:
        """Return this model with every field that a pretrained directory decides filled in.

        Raises:
            RecipeError: if a field given contradicts the directory, or this model lacks one of
                its features.
        """
        if self.pretrained is None:
            return self
        folder = locate(self.pretrained)
        return resolved(self, _fields_of(read_config(folder), folder), folder, _FREE)

    def start(self, module: nn.Module) -> tuple[str, ...]:
        """Load the pretrained weights, if there are any, and return what stayed fresh."""
        if self.pretrained is None:
            return ()
        folder = locate(self.pretrained)
        tensors = self.from_hf(read_weights(folder))
        name, embeddings = "embeddings.position_embeddings", module.get_submodule("embeddings")
        if name in tensors and isinstance(embeddings, PatchEmbeddings):
            before, now = _size_of(read_config(folder)), embeddings.size
            tensors[name] = moved_positions(tensors[name], self._grid(before), self._grid(now))
        return load_pretrained(module, tensors, self.pretrained, fresh=("classifier.",))

    def _grid(self, size: tuple[int, int]) -> tuple[int, int]:
        return size[0] // self.patch_size, size[1] // self.patch_size

    def hf_config(self, signature: Signature) -> dict[str, Any]:
        """Return a ``config.json`` that transformers 4 and 5 read."""
        fields = {**self.to_dict(), "intermediate_size": self._inner}
        height, width = signature.size
        return {
            "architectures": ["ViTForImageClassification"],
            "model_type": "vit",
            "image_size": height if height == width else [height, width],
            "num_channels": signature.inputs,
            "qkv_bias": True,
            **{key: fields[key] for key in _DEFAULTS},
            **label_names(signature),
        }

    def to_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors under their Hugging Face names."""
        return {_renamed(name, _TO_HF): tensor for name, tensor in tensors.items()}

    def from_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors from Hugging Face's: the inverse of ``to_hf``.

        It reads a bare ``ViTModel`` too; its pooler has no counterpart here, nor has a mask token.
        """
        plain = {name.removeprefix("vit."): tensor for name, tensor in tensors.items()}
        return {
            _renamed(name, _FROM_HF): tensor
            for name, tensor in plain.items()
            if not name.startswith(("pooler.", "embeddings.mask_token"))
        }


class VisionTransformer(nn.Module):
    """Shapes: B batch, C channels, H height, W width, T patches, D model width."""

    def __init__(
        self, embeddings: PatchEmbeddings, shape: Shape, layers: int, outputs: int, std: float
    ) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.blocks = nn.ModuleList(Block(shape) for _ in range(layers))
        self.norm = make_norm(shape)
        self.classifier = nn.Linear(shape.hidden_size, outputs)
        self.dropout = shape.dropout
        self.init_weights(std)

    @property
    def stem(self) -> nn.Conv2d:
        """The projection of patches."""
        return self.embeddings.projection

    @property
    def head(self) -> nn.Linear:
        """What reads the class position."""
        return self.classifier

    @torch.no_grad()
    def init_weights(self, std: float) -> None:
        """Draw fresh weights: normal ones cut at two deviations, biases of zero, norms of one."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
        for table in (self.embeddings.cls_token, self.embeddings.position_embeddings):
            nn.init.trunc_normal_(table, std=std, a=-2 * std, b=2 * std)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return logits (B, outputs) of images (B, C, H, W)."""
        logits: Tensor = self.classifier(self.features(pixel_values)[:, 0])
        return logits

    def features(self, pixel_values: Tensor) -> Tensor:
        """Return the last hidden states, (B, 1 + T, D): the class, then the patches."""
        x_BTD: Tensor = self.embeddings(pixel_values)
        x_BTD = F.dropout(x_BTD, self.dropout, self.training)
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return self.norm(x_BTD)  # type: ignore[no-any-return]


def _size_of(config: Mapping[str, Any]) -> tuple[int, int]:
    size = config.get("image_size", 224)
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _fields_of(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the fields of our model that a ``config.json`` decides.

    Raises:
        RecipeError: for an architecture or a feature that this model does not have.
    """
    fields = {key: config.get(key, default) for key, default in _DEFAULTS.items()}
    patch = fields["patch_size"]
    if isinstance(patch, list) and len(set(patch)) == 1:
        fields["patch_size"] = patch = patch[0]
    features = {
        f"model_type {config.get('model_type')!r}": config.get("model_type") != "vit",
        "queries, keys and values without bias": not config.get("qkv_bias", True),
        "patches that are no squares": not isinstance(patch, int),
    }
    for feature, used in features.items():
        if used:
            raise RecipeError(
                f"the vit model does not have {feature}.", where=folder / "config.json"
            )
    for name, value in fields.items():
        if isinstance(value, int) and isinstance(_DEFAULTS[name], float):
            fields[name] = float(value)  # JSON may write 0.0 as 0
    return fields


#: Beginnings of names outside of the blocks, and names inside, ours and theirs.
_AROUND = (
    ("norm.", "vit.layernorm."),
    ("embeddings.projection.", "vit.embeddings.patch_embeddings.projection."),
    ("embeddings.", "vit.embeddings."),
)
_BLOCK = (
    ("self_attn.q_proj.", "attention.attention.query."),
    ("self_attn.k_proj.", "attention.attention.key."),
    ("self_attn.v_proj.", "attention.attention.value."),
    ("self_attn.o_proj.", "attention.output.dense."),
    ("input_layernorm.", "layernorm_before."),
    ("post_attention_layernorm.", "layernorm_after."),
    ("mlp.up_proj.", "intermediate.dense."),
    ("mlp.down_proj.", "output.dense."),
)
_Renaming = tuple[str, str, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]
_TO_HF: _Renaming = (r"blocks\.(\d+)\.", r"vit.encoder.layer.\1.", _BLOCK, _AROUND)
_FROM_HF: _Renaming = (
    r"encoder\.layer\.(\d+)\.",
    r"blocks.\1.",
    tuple((theirs, ours) for ours, theirs in _BLOCK),
    tuple((theirs.removeprefix("vit."), ours) for ours, theirs in _AROUND),
)


def _renamed(name: str, renaming: _Renaming) -> str:
    blocks, place, inside, around = renaming
    found = re.match(blocks, name)
    begin = found.expand(place) if found else ""
    rest = name[found.end() :] if found else name
    for before, after in inside if found else around:
        if rest.startswith(before):
            return begin + after + rest.removeprefix(before)
    return begin + rest
