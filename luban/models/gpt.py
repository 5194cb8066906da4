"""A modern decoder whose saved directory is a Hugging Face Qwen3, Llama or GPT-2 checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from luban.core.contracts import Model, Signature
from luban.core.errors import RecipeError
from luban.models._layouts import config_of, fields_of, from_gpt2, to_gpt2
from luban.models._pretrained import load_pretrained, locate, read_config, read_weights, resolved
from luban.nn.activations import Activation
from luban.nn.decoder import CausalLM, DecoderModel
from luban.nn.rotary import Llama3Scaling, Rotary
from luban.nn.shape import Shape


class GPT(Model):
    """A causal Transformer over tokens.

    ``qwen3`` and ``llama``: RMSNorm, rotary positions, grouped queries, gated MLP; ``qwen3`` also
    normalises queries and keys. ``gpt2``: LayerNorm, learned positions, plain MLP, biases.
    """

    accepts: ClassVar[tuple[str, ...]] = ("tokens",)

    layout: Literal["qwen3", "llama", "gpt2"] = "qwen3"
    hidden_size: int = Field(default=256, ge=1, le=1_048_576)
    num_hidden_layers: int = Field(default=4, ge=1, le=1_024)
    num_attention_heads: int = Field(default=4, ge=1, le=1_048_576)
    num_key_value_heads: int | None = Field(
        default=None, ge=1, le=1_048_576, description="None: one per head."
    )
    head_dim: int | None = Field(
        default=None, ge=1, le=1_048_576, description="None: hidden_size / heads."
    )
    intermediate_size: int | None = Field(
        default=None,
        ge=1,
        le=1_048_576,
        description="None: 8/3 hidden_size in steps of 32; gpt2: 4 hidden_size.",
    )
    hidden_act: Activation | None = Field(default=None, description="None: silu; gpt2: gelu_new.")
    rope_theta: float = Field(default=10_000.0, gt=0)
    rope_scaling: Llama3Scaling | None = None
    rms_norm_eps: float = Field(default=1e-6, gt=0)
    layer_norm_epsilon: float = Field(default=1e-5, gt=0, description="Used by gpt2.")
    max_position_embeddings: int | None = Field(
        default=None, ge=1, le=16_777_216, description="Longest sequence (None: the task's)."
    )
    vocab_size: int | None = Field(
        default=None, ge=1, le=16_777_216, description="None: the task's."
    )
    tie_word_embeddings: bool = True
    attention_bias: bool = False
    mlp_bias: bool = Field(default=False, description="Used by llama; gpt2 always has biases.")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    initializer_range: float = Field(default=0.02, gt=0)
    initializer: Literal["normal", "fan_in"] = Field(
        default="normal", description="normal: initializer_range; fan_in: 1/sqrt(inputs)."
    )
    zero_init_output: bool = Field(
        default=False, description="Start what each block adds at zero instead of small."
    )
    pretrained: str | None = Field(
        default=None, description="Folder or hub name to take shape and weights from."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        heads, groups = self.num_attention_heads, self.num_key_value_heads
        if self.head_dim is None and self.hidden_size % heads:
            raise ValueError(f"hidden_size must be a multiple of num_attention_heads ({heads})")
        if groups is not None and heads % groups:
            raise ValueError(f"num_attention_heads must be a multiple of {groups}")
        if self.layout != "gpt2" and self._head_dim % 2:
            raise ValueError(f"rotary positions need an even head_dim, not {self._head_dim}")
        if self.layout == "gpt2" and (
            self._head_dim * heads != self.hidden_size or groups not in (None, heads)
        ):
            raise ValueError("gpt2 has head_dim = hidden_size / heads, and no grouped queries")
        return self

    def build(self, signature: Signature) -> CausalLM:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the model cannot take what the task gives.
        """
        fields = self._filled(signature)
        gpt2 = self.layout == "gpt2"
        shape = Shape(
            hidden_size=self.hidden_size,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=fields["num_key_value_heads"],
            head_dim=fields["head_dim"],
            intermediate_size=fields["intermediate_size"],
            hidden_act=fields["hidden_act"],
            norm="layer" if gpt2 else "rms",
            norm_eps=self.layer_norm_epsilon if gpt2 else self.rms_norm_eps,
            gated=not gpt2,
            qk_norm=self.layout == "qwen3",
            attention_bias=gpt2 or self.attention_bias,
            mlp_bias=gpt2 or (self.mlp_bias and self.layout == "llama"),
            dropout=self.dropout,
        )
        positions = fields["max_position_embeddings"]
        position = (
            nn.Embedding(positions, self.hidden_size)
            if gpt2
            else Rotary(shape.head_dim, positions, self.rope_theta, self.rope_scaling)
        )
        body = DecoderModel(shape, fields["vocab_size"], self.num_hidden_layers, position)
        return CausalLM(
            body,
            tied=self.tie_word_embeddings,
            init_std=self.initializer_range if self.initializer == "normal" else None,
            zero_out=self.zero_init_output,
        )

    def resolve(self) -> Self:
        """Return this model with every field that a pretrained directory decides filled in.

        Raises:
            RecipeError: if a field given contradicts the directory, or this model lacks one of
                its features.
        """
        if self.pretrained is None:
            return self
        folder = locate(self.pretrained)
        fields = fields_of(read_config(folder), folder)
        # A rotary table may be cut short: no weight depends on it.
        ours, theirs = self.max_position_embeddings, fields.get("max_position_embeddings")
        short = fields["layout"] != "gpt2" and ours and theirs and ours < theirs
        return resolved(self, fields, folder, ("max_position_embeddings",) if short else ())

    def start(self, module: nn.Module) -> tuple[str, ...]:
        """Load the pretrained weights, if there are any; none stays fresh."""
        if self.pretrained is not None:
            tensors = self.from_hf(read_weights(locate(self.pretrained)))
            load_pretrained(module, tensors, self.pretrained)
        return ()

    def hf_config(self, signature: Signature) -> dict[str, Any]:
        """Return a ``config.json`` that transformers 4 and 5 read."""
        scaling = None if self.rope_scaling is None else self.rope_scaling.to_dict()
        fields = {**self.to_dict(), **self._filled(signature), "rope_scaling": scaling}
        return {
            **config_of(self.layout, fields, self.dropout),
            "initializer_range": self.initializer_range,
            "bos_token_id": signature.bos,
            "eos_token_id": signature.end,
            "pad_token_id": signature.pad,
        }

    def to_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors under their Hugging Face names and layouts."""
        return to_gpt2(tensors) if self.layout == "gpt2" else dict(tensors)

    def from_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors from Hugging Face's: the inverse of ``to_hf``."""
        ours = from_gpt2(tensors) if self.layout == "gpt2" else dict(tensors)
        drop = ("lm_head.weight",) if self.tie_word_embeddings else ()
        return {
            name: tensor
            for name, tensor in ours.items()
            if name not in drop and not name.endswith("rotary_emb.inv_freq")
        }

    def flops_per_token(self, signature: Signature, parameters: int) -> float:
        """Return 6 per parameter in a product, 12 per layer, width and position for attention.

        Chowdhery et al. 2022, 2204.02311, appendix B; looking up an embedding costs nothing.
        """
        fields = self._filled(signature)
        lookups: int = 0 if self.tie_word_embeddings else fields["vocab_size"]
        length: int = signature.length or fields["max_position_embeddings"]
        if self.layout == "gpt2":
            lookups += fields["max_position_embeddings"]
        width = self.num_attention_heads * self._head_dim
        attention = 12.0 * self.num_hidden_layers * width * length
        return 6.0 * (parameters - lookups * self.hidden_size) + attention

    @property
    def _head_dim(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads

    def _filled(self, signature: Signature) -> dict[str, Any]:
        """Return the fields that None leaves to the layout or to the task."""
        self.check(signature)
        gpt2 = self.layout == "gpt2"
        inner = 4 * self.hidden_size if gpt2 else -(-8 * self.hidden_size // 96) * 32
        return {
            "num_key_value_heads": self.num_key_value_heads or self.num_attention_heads,
            "head_dim": self._head_dim,
            "intermediate_size": self.intermediate_size or inner,
            "hidden_act": self.hidden_act or ("gelu_new" if gpt2 else "silu"),
            "max_position_embeddings": self._positions(signature),
            "vocab_size": self._vocabulary(signature),
        }

    def _positions(self, signature: Signature) -> int:
        positions = self.max_position_embeddings or signature.length
        if not positions or positions < signature.length:
            raise RecipeError(
                "the model has fewer positions than the task's sequences.",
                where="model.max_position_embeddings",
                expected=f"at least {signature.length:,}" if signature.length else "a number",
                got=self.max_position_embeddings,
            )
        return positions

    def _vocabulary(self, signature: Signature) -> int:
        size, needed = self.vocab_size or signature.inputs, max(signature.inputs, signature.outputs)
        if size < needed:
            raise RecipeError(
                "the vocabulary is smaller than the task's.",
                where="model.vocab_size",
                expected=f"at least {needed:,}",
                got=size,
                fix="use the pretrained model's own tokenizer.",
            )
        return size
