"""An encoder-decoder Transformer whose saved directory is a Hugging Face Pegasus or Marian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from luban.core.contracts import Model, Signature
from luban.core.errors import RecipeError
from luban.models._pegasus import config_of, fields_of, from_pegasus, to_pegasus
from luban.models._pretrained import (
    load_pretrained,
    locate,
    read_config,
    read_weights,
    resolved,
)
from luban.nn.encoder_decoder import EncoderDecoder, Halves
from luban.nn.shape import Shape

Activation = Literal["relu", "gelu", "gelu_new", "gelu_pytorch_tanh", "silu", "relu2"]


class Seq2seq(Model):
    """Reads one sequence of tokens, writes another (Vaswani et al. 2017, 1706.03762).

    Sinusoidal positions, LayerNorm, plain MLP with biases; the head is the target embedding.
    ``pegasus`` normalises before each part, which trains without care; ``marian`` after it.
    """

    accepts: ClassVar[tuple[str, ...]] = ("tokens",)
    produces: ClassVar[tuple[str, ...]] = ("sequence",)

    layout: Literal["pegasus", "marian"] = "pegasus"
    hidden_size: int = Field(default=256, ge=2, le=1_048_576)
    num_hidden_layers: int = Field(default=3, ge=1, le=1_024, description="Of the encoder.")
    num_decoder_layers: int | None = Field(
        default=None, ge=1, le=1_024, description="None: num_hidden_layers."
    )
    num_attention_heads: int = Field(default=4, ge=1, le=1_048_576)
    intermediate_size: int | None = Field(
        default=None, ge=1, le=1_048_576, description="None: 4 hidden_size."
    )
    hidden_act: Activation = "gelu"
    max_position_embeddings: int | None = Field(
        default=None,
        ge=1,
        le=16_777_216,
        description="Longest sequence on either side (None: the task's).",
    )
    vocab_size: int | None = Field(
        default=None, ge=1, le=16_777_216, description="None: the task's."
    )
    decoder_vocab_size: int | None = Field(
        default=None, ge=1, le=16_777_216, description="None: the task's; used by marian."
    )
    share_encoder_decoder_embeddings: bool = Field(
        default=True, description="One embedding for both sides; only marian can do without."
    )
    scale_embedding: bool = Field(default=True, description="Times sqrt(hidden_size).")
    dropout: float = Field(default=0.1, ge=0, lt=1)
    attention_dropout: float = Field(default=0.0, ge=0, lt=1)
    initializer_range: float = Field(default=0.02, gt=0)
    initializer: Literal["normal", "fan_in"] = Field(
        default="fan_in", description="normal: initializer_range; fan_in: 1/sqrt(inputs)."
    )
    zero_init_output: bool = Field(
        default=False, description="Start what each block adds at zero instead of small."
    )
    pretrained: str | None = Field(
        default=None, description="Folder or hub name to take shape and weights from."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            heads = self.num_attention_heads
            raise ValueError(f"hidden_size must be a multiple of num_attention_heads ({heads})")
        if self.layout == "pegasus" and not self.share_encoder_decoder_embeddings:
            raise ValueError("pegasus has one embedding; two need `layout: marian`")
        return self

    def build(self, signature: Signature) -> EncoderDecoder:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the model cannot take what the task gives.
        """
        fields = self._filled(signature)
        shape = Shape(
            hidden_size=self.hidden_size,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_attention_heads,
            head_dim=self.hidden_size // self.num_attention_heads,
            intermediate_size=fields["intermediate_size"],
            hidden_act=self.hidden_act,
            norm="layer",
            norm_eps=1e-5,
            gated=False,
            attention_bias=True,
            mlp_bias=True,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            norm_first=self.layout == "pegasus",
        )
        halves = Halves(
            sources=fields["vocab_size"],
            targets=fields["decoder_vocab_size"],
            encoder_layers=self.num_hidden_layers,
            decoder_layers=fields["num_decoder_layers"],
            positions=fields["max_position_embeddings"],
            shared=self.share_encoder_decoder_embeddings,
            scale=self.hidden_size**0.5 if self.scale_embedding else 1.0,
            init_std=self.initializer_range if self.initializer == "normal" else None,
            zero_out=self.zero_init_output,
        )
        return EncoderDecoder(shape, halves)

    def fits(self, signature: Signature) -> bool:
        """Return whether this model takes and gives what a task asks for."""
        one = self.share_encoder_decoder_embeddings
        return super().fits(signature) and (not one or signature.inputs == signature.outputs)

    def resolve(self) -> Self:
        """Return this model with every field that a pretrained directory decides filled in.

        Raises:
            RecipeError: if a field given contradicts the directory, or this model lacks one of
                its features.
        """
        if self.pretrained is None:
            return self
        folder = locate(self.pretrained)
        return resolved(self, fields_of(read_config(folder), folder), folder)

    def start(self, module: nn.Module) -> tuple[str, ...]:
        """Load the pretrained weights, if there are any; none stays fresh."""
        if self.pretrained is not None:
            tensors = self.from_hf(read_weights(locate(self.pretrained)))
            # Positions and the bias are left out of some files: they are what is built anyway.
            fixed = ("embed_positions_PD", "final_logits_bias")
            kept = {n: t for n, t in module.state_dict().items() if n in fixed}
            load_pretrained(module, {**kept, **tensors}, self.pretrained)
        return ()

    def hf_config(self, signature: Signature) -> dict[str, Any]:
        """Return a ``config.json`` that transformers reads."""
        special = {
            "pad_token_id": signature.pad,
            "eos_token_id": signature.end,
            "bos_token_id": signature.bos,
            "decoder_start_token_id": signature.start,
        }
        return {**config_of(self.layout, {**self.to_dict(), **self._filled(signature)}), **special}

    def to_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors under their Hugging Face names."""
        return to_pegasus(tensors)

    def from_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors from Hugging Face's: the inverse of ``to_hf``."""
        return from_pegasus(tensors, shared=self.share_encoder_decoder_embeddings)

    def flops_per_token(self, signature: Signature, parameters: int) -> float:
        """Return 6 per parameter that a position meets, half of the positions on either side.

        A source position meets the encoder, a target position the decoder and the head; so a
        position meets half of all parameters, if the sides are about equally long. Products of
        attention weights are left out: sentences are much shorter than layers are wide.
        """
        fields = self._filled(signature)
        lookups = 0 if self.share_encoder_decoder_embeddings else fields["vocab_size"]
        return 3.0 * (parameters - lookups * self.hidden_size)

    def _filled(self, signature: Signature) -> dict[str, Any]:
        """Return the fields that None leaves to the layout or to the task."""
        one = self.share_encoder_decoder_embeddings
        if super().fits(signature) and not self.fits(signature):
            raise RecipeError(
                "the two sides of the task have two vocabularies.",
                where="model.share_encoder_decoder_embeddings",
                got=f"{signature.inputs:,} and {signature.outputs:,} tokens",
                fix="leave out task.target_tokenizer, or set layout: marian and "
                "share_encoder_decoder_embeddings: false.",
            )
        self.check(signature)
        positions = self.max_position_embeddings or signature.length
        if not positions or positions < signature.length:
            raise RecipeError(
                "the model has fewer positions than the task's sequences.",
                where="model.max_position_embeddings",
                expected=f"at least {signature.length:,}" if signature.length else "a number",
                got=self.max_position_embeddings,
            )
        sources = _vocabulary(self.vocab_size, signature.inputs, "vocab_size")
        targets = sources
        if not one:
            targets = _vocabulary(self.decoder_vocab_size, signature.outputs, "decoder_vocab_size")
        return {
            "num_decoder_layers": self.num_decoder_layers or self.num_hidden_layers,
            "intermediate_size": self.intermediate_size or 4 * self.hidden_size,
            "max_position_embeddings": positions,
            "vocab_size": sources,
            "decoder_vocab_size": targets,
        }


def _vocabulary(size: int | None, needed: int, field: str) -> int:
    if size is not None and size < needed:
        raise RecipeError(
            "the vocabulary is smaller than the task's.",
            where=f"model.{field}",
            expected=f"at least {needed:,}",
            got=size,
            fix="use the pretrained model's own tokenizer.",
        )
    return size or needed
