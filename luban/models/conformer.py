"""Convolution and attention over frames of sound, for transcripts by CTC and for labels."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator

from luban.core.contracts import Model, Signature
from luban.models._flops import forward_flops
from luban.nn.activations import Activation
from luban.nn.frames import TransformerFrames
from luban.nn.recurrent import Pooling
from luban.nn.shape import Shape
from luban.nn.subsampling import ConvolutionSubsampling

_MEASURED = 400  #: frames of the recording whose FLOP are counted
_UNBOUNDED = 16_384  #: frames that fit where the task sets no bound


class Conformer(Model):
    """The Conformer (Gulati et al. 2020, 2005.08100), or a plain Transformer encoder.

    Convolutions make frames fewer; positions are rotary (Su et al. 2021, 2104.09864), and the
    convolution in a block is normalised by LayerNorm, so that no example changes another.
    """

    accepts: ClassVar[tuple[str, ...]] = ("frames",)
    produces: ClassVar[tuple[str, ...]] = ("alignment", "label")

    hidden_size: int = Field(default=144, ge=2, le=1_048_576)
    num_hidden_layers: int = Field(default=4, ge=1, le=1_024)
    num_attention_heads: int = Field(default=4, ge=1, le=1_048_576)
    intermediate_size: int | None = Field(
        default=None, ge=1, le=1_048_576, description="None: 4 hidden_size."
    )
    hidden_act: Activation = "silu"
    block: Literal["conformer", "transformer"] = Field(
        default="conformer", description="transformer: attention and feed-forward network only."
    )
    conv_depthwise_kernel_size: int = Field(
        default=15,
        ge=1,
        le=1_048_576,
        description="Positions that the convolution in a block sees; odd.",
    )
    conv_channels: int = Field(
        default=32,
        ge=1,
        le=1_048_576,
        description="Channels of the convolutions before the blocks.",
    )
    dropout: float = Field(default=0.1, ge=0, lt=1)
    layer_norm_eps: float = Field(default=1e-5, gt=0)
    pooling: Pooling = Field(
        default="mean", description="One vector for a label, from those of all positions."
    )

    @field_validator("conv_depthwise_kernel_size")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError("an odd number, so that as much is seen before as after")
        return size

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.hidden_size % (2 * self.num_attention_heads):
            heads = self.num_attention_heads
            raise ValueError(f"hidden_size must be a multiple of 2 num_attention_heads ({heads})")
        return self

    def build(self, signature: Signature) -> TransformerFrames:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the task does not give frames, or asks for something else.
        """
        self.check(signature)
        shape = Shape(
            hidden_size=self.hidden_size,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_attention_heads,
            head_dim=self.hidden_size // self.num_attention_heads,
            intermediate_size=self.intermediate_size or 4 * self.hidden_size,
            hidden_act=self.hidden_act,
            norm="layer",
            norm_eps=self.layer_norm_eps,
            causal=False,
            gated=False,
            attention_bias=True,
            mlp_bias=True,
            dropout=self.dropout,
        )
        stem = ConvolutionSubsampling(
            signature.inputs, self.conv_channels, self.hidden_size, signature.stride, self.dropout
        )
        return TransformerFrames(
            stem,
            shape,
            self.num_hidden_layers,
            self.conv_depthwise_kernel_size if self.block == "conformer" else None,
            -(-(signature.length or _UNBOUNDED) // signature.stride),
            signature.outputs,
            self.pooling if signature.produces == "label" else None,
        )

    def flops_per_token(self, signature: Signature, parameters: int) -> float:
        """Return three times the FLOP of reading a recording of 4 seconds, divided by its frames.

        Convolutions use a weight many times, so they are counted, not ``parameters``.
        """
        frames = min(signature.length or _MEASURED, _MEASURED)
        with torch.device("meta"):
            return (
                3
                * forward_flops(self.build(signature), torch.empty(1, frames, signature.inputs))
                / frames
            )
